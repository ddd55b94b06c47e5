//! A page says how long it takes to read, and that is computed: words at 200 a minute, and the
//! code that it sends its reader to at 25 lines a minute. Commands and their output do not count.
//!
//! `<!-- reading: 45 minutes up to here -->` holds the time from the page's begin to there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use crate::excerpts::excerpt;
use crate::links::joined;
use crate::markdown::{Token, split, tokens};
use crate::regions::region;
use crate::repository::{Document, english, root};

const WORDS_A_MINUTE: f64 = 200.0;
const LINES_A_MINUTE: f64 = 25.0;

/// A mark of a page: its line, what it promises, and what is read up to there.
#[derive(Debug)]
struct Mark {
    line: usize,
    promised: f64,
    words: usize,
    lines: usize,
}

impl Mark {
    fn minutes(&self) -> f64 {
        self.words as f64 / WORDS_A_MINUTE + self.lines as f64 / LINES_A_MINUTE
    }
}

fn promise(line: &str) -> Option<f64> {
    let text = line.trim().strip_prefix("<!-- reading:")?.strip_suffix("minutes up to here -->")?;
    text.trim().parse().ok()
}

/// The marks of a page, in order.
fn marks(document: &Document) -> Vec<Mark> {
    let mut code = BTreeMap::new(); // a region counts once, on the page or in its file
    let (mut words, mut marks) = (0, Vec::new());
    for (line, text) in split(&document.text).1 {
        if let Some(promised) = promise(text) {
            marks.push(Mark { line, promised, words, lines: code.values().sum() });
        }
        for (file, name) in regions_of(document, text) {
            let source = fs::read_to_string(root().join(&file)).unwrap_or_default();
            let lines = match name.as_str() {
                "" => source.lines().count(),
                name => region(&source, name).map_or(0, |lines| lines.len()),
            };
            code.insert((file, name), lines);
        }
        if !text.trim_start().starts_with("<!--") {
            words +=
                text.split_whitespace().filter(|it| it.contains(char::is_alphanumeric)).count();
        }
    }
    marks
}

/// What a line sends its reader to: excerpts, and rows of a reading table, which have a number.
/// Where a row names no region of a file, it is all of it.
fn regions_of(document: &Document, line: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    if let Some((path, name)) = excerpt(line) {
        found.push((joined(document.folder(), path), name.into()));
    }
    let number = line.strip_prefix('|').and_then(|row| row.split('|').next());
    if number.is_none_or(|it| it.trim().parse::<u32>().is_err()) {
        return found;
    }
    let cell = line.split('|').nth(2).unwrap_or_default();
    let mut file = None;
    for token in tokens(cell) {
        match token {
            Token::Link(link) => {
                found.extend(file.take().map(|file| (file, String::new())));
                file = Some(joined(document.folder(), link));
            }
            Token::Code(code) => {
                let Some(name) = code.strip_prefix("#region ") else { continue };
                let last = found.last().map(|it| it.0.clone());
                found.extend(file.take().or(last).map(|file| (file, name.into())));
            }
        }
    }
    found.extend(file.map(|file| (file, String::new())));
    found
}

#[test]
fn pages_take_as_long_as_they_say() {
    let (mut wrong, mut all) = (Vec::new(), 0);
    for document in english() {
        for mark in marks(&document) {
            all += 1;
            let (minutes, Mark { line, promised, words, lines }) = (mark.minutes(), &mark);
            let says = format!(
                "{}:{line}: {minutes:.0} minutes up to here ({words} words, {lines} lines of \
                 code), promised {promised}\n",
                document.path
            );
            std::io::stderr().write_all(says.as_bytes()).unwrap();
            if minutes > *promised {
                wrong.push(says);
            }
        }
    }
    assert!(wrong.is_empty(), "\n\n{}\nShorten it, or promise more.\n", wrong.concat());
    assert!(all >= 3, "{all} marks: is this still their comment?");
}

#[test]
fn words_and_code_are_counted() {
    let text = "one two\n```console\n$ not counted\n```\n\
                | 1 | [`netns.rs`](src/netns.rs) `#region enter` | three |\n\
                | | [`lock.rs`](src/lock.rs) | four |\n\
                <!-- excerpt: src/netns.rs#enter -->\n```rust\nfn f() {}\n```\n\
                <!-- reading: 2 minutes up to here -->\nmore\n";
    let page = Document { path: "chapters/ch1-basic-cni/X.md".into(), text: text.into() };
    let found = marks(&page);
    let source = fs::read_to_string(root().join("chapters/ch1-basic-cni/src/netns.rs")).unwrap();
    let lines = region(&source, "enter").unwrap().len();
    assert_eq!((found[0].words, found[0].lines, found[0].promised), (9, lines, 2.0));
    let whole = text.replace("| | [", "| 2 | [");
    assert!(marks(&Document { text: whole, ..page })[0].lines > lines + 20);
}
