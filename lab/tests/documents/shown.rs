//! What a terminal on a slide shows, looked up among what commands print.

use std::{fmt, fs};

use regex::Regex;

use crate::cast::transcript;
use crate::console::blocks;
use crate::masks::masked;
use crate::repository::{below, english, root};

/// A command, and the lines below it. A slide may leave the command out: then it is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub command: String,
    pub lines: Vec<String>,
}

/// The commands of some lines; what stands before the first is nobody's.
pub fn commands<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push(Shown { command: command.into(), lines: Vec::new() }),
            (None, Some(last)) if last.lines.is_empty() && last.command.ends_with(['\\', '|']) => {
                last.command = format!("{} {}", last.command.trim_end_matches('\\'), line);
            }
            (None, Some(last)) => last.lines.push(line.into()),
            (None, None) => {}
        }
    }
    shown
}

/// A command, whoever types it: `lab` is `scripts/lab`, and the lab's node is no other place.
pub fn spoken(command: &str) -> String {
    let command = command.split("  #").next().unwrap_or_default();
    let command = masked(&command.replace("\\\n", " ").replace('\n', " "));
    let mut words: Vec<_> = command.split(' ').map(|word| word.trim_start_matches("./")).collect();
    for prefix in [&["sudo"][..], &["scripts/lab"], &["lab"], &["node-exec", "--"]] {
        if words.starts_with(prefix) && words.len() > prefix.len() {
            words.drain(..prefix.len());
        }
    }
    words.join(" ")
}

/// A shown text as what it may stand for: `…` is anything on one line.
fn pattern(text: &str) -> Regex {
    let text = text.replace("veth…", "VETH"); // as masks.rs has it
    let pieces: Vec<_> = text.split('…').map(masked).collect();
    let piece =
        |piece: &String| piece.split(' ').map(regex::escape).collect::<Vec<_>>().join(r"\s+");
    Regex::new(&pieces.iter().map(piece).collect::<Vec<_>>().join("[^\n]*?")).unwrap()
}

/// The end of the first match from `at` that does not begin or end within a word or a number.
fn find(pattern: &Regex, text: &str, mut at: usize) -> Option<usize> {
    let inside = |here: usize| {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        is_word(text[..here].chars().next_back()) && is_word(text[here..].chars().next())
    };
    loop {
        let found = pattern.find_at(text, at)?;
        if !inside(found.start()) && !inside(found.end()) {
            return Some(found.end());
        }
        at = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
        if at > text.len() {
            return None;
        }
    }
}

/// The first line that a source does not have below this command; none if it has all of them.
fn lacks<'a>(shown: &'a Shown, source: &Shown) -> Option<&'a str> {
    let text: Vec<_> = source.lines.iter().map(|line| masked(line)).collect();
    let (text, mut at) = (text.join("\n"), 0);
    for line in shown.lines.iter().filter(|line| !matches!(line.trim(), "" | "…")) {
        match find(&pattern(line), &text, at) {
            Some(end) => at = end,
            None => return Some(line),
        }
    }
    None
}

/// Why a command is not found.
#[derive(Debug, PartialEq)]
pub enum Lost {
    Command,
    /// This line, by all of so many such commands.
    Line(String, usize),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Command => write!(f, "nobody runs this command"),
            Self::Line(line, places) => {
                write!(f, "none of {places} such commands prints: {}", line.trim())
            }
        }
    }
}

/// Does one of the sources with this command print all of its lines, in order?
pub fn look_up(shown: &Shown, sources: &[Shown]) -> Result<(), Lost> {
    let command = pattern(&spoken(&shown.command));
    let same = |source: &&Shown| {
        if shown.command.is_empty() {
            return true;
        }
        let theirs = spoken(&source.command);
        let rest = command.find(&theirs).filter(|found| found.start() == 0);
        // Where a slide shows no output, it may leave options out.
        rest.is_some_and(|found| match &theirs[found.end()..] {
            "" => true,
            rest => shown.lines.is_empty() && rest.starts_with(' '),
        })
    };
    let places: Vec<_> = sources.iter().filter(same).collect();
    let lost: Vec<_> = places.iter().map(|source| lacks(shown, source)).collect();
    match lost.iter().find(|lost| lost.is_none()) {
        Some(_) => Ok(()),
        // The place that goes furthest says most.
        None => Err(lost
            .iter()
            .flatten()
            .max_by_key(|line| at(shown, line))
            .map_or(Lost::Command, |line| Lost::Line((*line).into(), places.len()))),
    }
}

fn at(shown: &Shown, line: &str) -> usize {
    shown.lines.iter().position(|it| it == line).unwrap_or_default()
}

/// All that a test holds to be true: the documents' commands, and the recordings.
pub fn sources() -> Vec<Shown> {
    let mut sources = Vec::new();
    for document in english() {
        for step in blocks(&document).unwrap().into_iter().flat_map(|block| block.steps) {
            // A story's output is commands, too.
            sources.extend(commands(step.expected.iter().map(String::as_str)));
            sources.push(Shown { command: step.command, lines: step.expected });
        }
    }
    for path in below("docs/casts").iter().filter(|path| path.ends_with(".zh-TW.cast")) {
        let text = transcript(&fs::read_to_string(root().join(path)).unwrap());
        sources.extend(commands(text.lines().filter(|line| !line.starts_with("# "))));
    }
    sources
}
