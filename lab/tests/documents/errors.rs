//! docs/errors.md quotes what the programs here say. A quotation that nobody says any more is
//! searched for in vain: so each is looked up in the sources.

use std::fs;

use crate::repository::{Document, below, root};

/// The section of what kubelet, the kernel and others say: there is nothing to look up.
const OTHERS: &str = "From other programs";

/// Where the programs are that speak, each with all below it.
const SPEAKERS: [&str; 7] =
    ["chapters", "cluster", "lab/src", "node", "scripts", "slides/tools", "vagrant"];

/// A text of a table's first column, and the section that it stands in.
#[derive(Debug, PartialEq)]
struct Quotation {
    section: String,
    text: String,
}

/// All code spans of the first columns; a row that has not three columns is an error.
fn quotations(markdown: &str) -> Result<Vec<Quotation>, String> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in markdown.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_string();
        }
        let Some(row) = line.strip_prefix('|') else { continue };
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        if cells.len() != 3 || cells.iter().any(|cell| cell.is_empty()) {
            return Err(format!("not three columns: {line}"));
        }
        found.extend(
            code_spans(cells[0])
                .into_iter()
                .map(|text| Quotation { section: section.clone(), text: text.to_string() }),
        );
    }
    Ok(found)
}

/// What stands between backticks; between two of them it may hold one.
fn code_spans(mut cell: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    while let Some(start) = cell.find('`') {
        let rest = &cell[start..];
        let text = rest.trim_start_matches('`');
        let fence = &rest[..rest.len() - text.len()];
        let Some(end) = text.find(fence) else { break };
        spans.push(text[..end].trim());
        cell = &text[end + fence.len()..];
    }
    spans
}

/// A source as its words are printed: lines joined, and `…` for what is filled in, be it Rust's
/// `{name:?}` or the shell's `$name`, `${name}` and `$(command …)`.
fn as_printed(source: &str) -> String {
    let (mut rest, mut text) = (source, String::new());
    while let Some(c) = rest.chars().next() {
        let placeholder = match c {
            '\\' if rest.starts_with("\\\n") => {
                rest = rest[2..].trim_start();
                continue;
            }
            '\\' if rest.starts_with("\\\"") => {
                rest = &rest[1..];
                continue;
            }
            '{' => braces(rest),
            '$' => variable(&rest[1..]).map(|length| length + 1),
            _ => None,
        };
        text.push(if placeholder.is_some() { '…' } else { c });
        rest = &rest[placeholder.unwrap_or(c.len_utf8())..];
    }
    text
}

/// How long a placeholder `{…}` is, if it is one: blocks of code hold white space.
fn braces(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:?#".contains(c);
    text[1..end].chars().all(is_plain).then_some(end + 1)
}

/// How long the shell's variable is behind its `$`.
fn variable(text: &str) -> Option<usize> {
    let (open, close) = match text.chars().next()? {
        '(' => ('(', ')'),
        '{' => ('{', '}'),
        '*' | '@' | '0'..='9' => return Some(1),
        _ => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            return text.find(|c| !is_name(c)).filter(|length| *length > 0);
        }
    };
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == open) - i32::from(c == close);
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// What the programs say: their sources, but for texts and tests.
fn sources() -> Vec<String> {
    let files = SPEAKERS.iter().flat_map(|folder| below(folder)).filter(|path| {
        let is_text = path.contains("/diffs/") || path.ends_with(".md");
        !(is_text || path.contains("/tests/") || path.ends_with(".bats"))
    });
    let text = |path: String| fs::read_to_string(root().join(path)).ok();
    files.filter_map(text).map(|text| as_printed(&text)).collect()
}

/// Does some program say it?
fn is_said(text: &str, sources: &[String]) -> bool {
    let own = text.trim_matches('…').trim();
    own.split_whitespace().filter(|word| *word != "…").count() >= 2
        && sources.iter().any(|source| source.contains(own))
}

fn document(name: &str) -> Vec<Quotation> {
    let text = Document::read(&format!("docs/{name}")).text;
    quotations(&text).unwrap_or_else(|why| panic!("docs/{name}: {why}"))
}

#[test]
fn what_the_page_of_errors_quotes_is_said() {
    let found = sources();
    let (others, ours): (Vec<_>, Vec<_>) =
        document("errors.md").into_iter().partition(|it| it.section == OTHERS);
    assert!(others.len() >= 10, "is there still a section {OTHERS:?}?");
    assert!(ours.len() >= 100, "{} texts: are they still in the first column?", ours.len());
    let wrong: Vec<_> =
        ours.iter().filter(|it| !is_said(&it.text, &found)).map(|it| &it.text).collect();
    assert!(wrong.is_empty(), "nobody says:\n{wrong:#?}");
}

#[test]
fn the_translated_page_of_errors_quotes_the_same() {
    let texts = |name| document(name).into_iter().map(|it| it.text).collect::<Vec<_>>();
    let (english, translated) = (texts("errors.md"), texts("errors.zh-TW.md"));
    let first = english.iter().zip(&translated).find(|(english, translated)| english != translated);
    assert_eq!(first, None, "the first that differs");
    assert_eq!(translated.len(), english.len());
}

#[test]
fn what_nobody_says_is_found_out() {
    let rust =
        as_printed("bail!(\"node {name} is up with {:?}: run `lab \\\n    down` \\\"now\\\"\")");
    let shell = as_printed("die \"kernel $(uname -r) is old, ${NEW:-5} or $newer. $* too old\"");
    let sources = [rust, shell];
    assert!(is_said("node … is up with …: run `lab down` \"now\"", &sources));
    assert!(is_said("kernel … is old, … or ….", &sources));
    assert!(is_said("… too old", &sources));
    assert!(!is_said("node … is down", &sources));
    assert!(!is_said("kernel 5.4 is old", &sources));
    assert!(!is_said("… kernel …", &sources), "one word is said by many");

    let table = "## One\n| says | means | do |\n|---|---|---|\n| `a b`, ``c `d` e`` | `f` | g |\n";
    let texts: Vec<_> = quotations(table).unwrap().into_iter().map(|it| it.text).collect();
    assert_eq!(texts, ["a b", "c `d` e"]);
    assert!(quotations("| `a` | b |\n").unwrap_err().contains("not three columns"));
}
