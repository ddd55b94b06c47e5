//! As much of Markdown as the documents use.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// A fenced block: its info string, and its lines with their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Fence<'a> {
    /// Of the line that opens it; the first line of a document is 1.
    pub line: usize,
    pub info: &'a str,
    pub body: Vec<&'a str>,
}

/// A document as fences and the lines between them.
pub fn split(text: &str) -> (Vec<Fence<'_>>, Vec<(usize, &str)>) {
    let (mut fences, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(&str, Fence)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let marks = line.len() - line.trim_start_matches('`').len();
        match &mut open {
            Some((mark, _)) if line.trim_end() == *mark => {
                fences.extend(open.take().map(|it| it.1))
            }
            Some((_, fence)) => fence.body.push(line),
            None if marks >= 3 => {
                let (mark, info) = line.split_at(marks);
                open = Some((mark, Fence { line: number, info: info.trim(), body: Vec::new() }));
            }
            None => prose.push((number, line)),
        }
    }
    assert!(open.is_none(), "a block is never closed: {open:?}");
    (fences, prose)
}

/// The headings: line, level, text.
pub fn headings<'a>(prose: &[(usize, &'a str)]) -> Vec<(usize, usize, &'a str)> {
    let heading = |&(number, line): &(usize, &'a str)| {
        let level = line.len() - line.trim_start_matches('#').len();
        let text = line[level..].strip_prefix(' ')?;
        (1..=6).contains(&level).then(|| (number, level, text.trim()))
    };
    prose.iter().filter_map(heading).collect()
}

/// The anchors that GitHub gives the headings, a repeated one with a number.
pub fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let anchor = |(_, _, heading): (usize, usize, &str)| {
        let slug = slug(heading);
        let times = seen.entry(slug.clone()).or_default();
        *times += 1;
        if *times == 1 { slug } else { format!("{slug}-{}", *times - 1) }
    };
    headings(&split(text).1).into_iter().map(anchor).collect()
}

/// GitHub's rule: lower case, spaces to hyphens, and of the rest only letters, digits, - and _.
fn slug(heading: &str) -> String {
    let shown = TOKEN.replace_all(heading, "$code$text");
    let lower = shown.trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"`(?<code>[^`]+)`|\[(?<text>(?:`[^`]*`|[^`\[\]])*)\]\((?<target>[^()\s]*)\)")
        .unwrap()
});

/// What a line has beside words, in order.
#[derive(Debug, PartialEq)]
pub enum Token<'a> {
    /// In backticks.
    Code(&'a str),
    /// A link's target.
    Link(&'a str),
}

pub fn tokens(line: &str) -> Vec<Token<'_>> {
    let tokens = TOKEN.captures_iter(line).filter_map(|found| {
        let code = found.name("code").map(|it| Token::Code(it.as_str()));
        code.or_else(|| found.name("target").map(|it| Token::Link(it.as_str())))
    });
    tokens.collect()
}

/// A line's words for people: without code, and without the targets of links.
pub fn words(line: &str) -> String {
    let shown = TOKEN.replace_all(line, "$text"); // a link's text may have code in it
    TOKEN.replace_all(&shown, " ").into_owned()
}

#[test]
fn anchors_are_githubs() {
    let text = "# A `b`, and c_d!\n## Same\n```console\n# not one\n```\n## Same\n### [x](y.md) 第 1 章：網路\n";
    assert_eq!(anchors(text), ["a-b-and-c_d", "same", "same-1", "x-第-1-章網路"]);
}

#[test]
fn links_and_code_are_found() {
    use Token::{Code, Link};
    let line = "a [`x`](b.md#c), [y](d) ![p](q.png) `[no](e)` `f`";
    let found = [Link("b.md#c"), Link("d"), Link("q.png"), Code("[no](e)"), Code("f")];
    assert_eq!(tokens(line), found);
    assert_eq!(words("see `x` [here](y), [`z` there](y)"), "see  here,   there");
}
