//! The style of the English texts, as far as a program sees it: see CONTRIBUTING.md.

use std::sync::LazyLock;

use regex::Regex;

use crate::markdown::{split, words};
use crate::repository::{Document, english};

/// What is found, and what to write. Lists and tables count line by line.
const RULES: [(&str, &str); 8] = [
    (r"(?i-u)\bmend(s|ed|ing)?\b", "fix"),
    (r"(?i-u)\b(tells?|told|telling) of\b|\b(is|are) told,? (that|wherever)\b", "report"),
    (r"(?i-u)\banew\b", "again"),
    (r"(?i-u)\balso (when|if)\b", "even if"),
    (r"(?i-u)\bwh(o|om)ever\b", "a noun: the process that comes first, or `if you …`"),
    (r"(?i-u)\bwhither\b", "where to"),
    (r"(^|[.;:] |\| ?|\*\*)Who(m)? [^?]*[.|]", "a noun: the pod that …"),
    (r"^[^:|]*: [^:|]*: [^|]*$", "one colon in a sentence"),
];

fn wrong(document: &Document) -> Vec<String> {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| RULES.map(|(rule, write)| (Regex::new(rule).unwrap(), write)).into());
    let (fences, prose) = split(&document.text);
    let mut all = Vec::new();
    let mut complain = |line: usize, found: &str, write: &str| {
        all.push(format!("{}:{line}: {found:?}: write {write}", document.path));
    };
    for (line, text) in &prose {
        for sentence in sentences(&words(text)) {
            for (rule, write) in COMPILED.iter() {
                if let Some(found) = rule.find(sentence) {
                    complain(*line, found.as_str(), write);
                }
            }
        }
    }
    for fence in &fences {
        let end = fence.line + fence.body.len() + 1;
        let next = prose.iter().find(|(line, text)| *line > end && !text.trim().is_empty());
        if let Some((line, text)) = next
            && text.starts_with(|c: char| c.is_lowercase())
        {
            complain(*line, text.get(..20).unwrap_or(text), "a sentence of its own");
        }
    }
    all
}

/// A paragraph's sentences; in a table each row is one.
fn sentences(text: &str) -> Vec<&str> {
    if text.starts_with('|') {
        return vec![text];
    }
    static END: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[.!?]\)?\*{0,2}\s").unwrap());
    let mut sentences = Vec::new();
    let mut from = 0;
    for end in END.find_iter(text) {
        sentences.push(&text[from..end.end()]);
        from = end.end();
    }
    sentences.push(&text[from..]);
    sentences
}

/// It quotes the rules, and what they forbid.
const WITHOUT_STYLE: &str = "CONTRIBUTING.md";

#[test]
fn the_english_documents_follow_the_style_sheet() {
    let documents = english().into_iter().filter(|document| document.path != WITHOUT_STYLE);
    let wrong: Vec<_> = documents.flat_map(|document| wrong(&document)).collect();
    assert!(
        wrong.is_empty(),
        "\n\n{}\n\n{} in all. The rules: {WITHOUT_STYLE}.\n",
        wrong.join("\n"),
        wrong.len()
    );
}

#[test]
fn what_the_style_sheet_forbids_is_found() {
    let count = |text: &str| wrong(&Document { path: "X.md".into(), text: text.into() }).len();
    for bad in [
        "The next pod mends it.",
        "It is told of.",
        "Delete it and make it anew.",
        "It holds, also when it is late.",
        "Whoever comes first makes it.",
        "Who comes first makes it.",
        "```text\na\n```\n\nshows it.",
        "One: two: three.",
    ] {
        assert_eq!(count(bad), 1, "{bad}");
    }
    let good = "Who comes first? `mend`: the code. One: two. Three: four.\n\n| a: b | c: d |\n";
    assert_eq!(count(good), 0);
}
