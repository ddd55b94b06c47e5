//! Compares what a command printed with what the document says. A line `[...]` stands for any
//! number of lines, and `[...]` in a line for anything.

use crate::masks::masked;

const GAP: &str = "[...]";

/// Is this what the document says?
pub fn matches(expected: &[String], seen: &[String]) -> bool {
    let (mut at, mut line) = (0, 0);
    let mut gap = None; // the last one, and the line up to which it goes
    while line < seen.len() {
        if expected.get(at).is_some_and(|it| it.trim() == GAP) {
            gap = Some((at, line));
            at += 1;
        } else if expected.get(at).is_some_and(|it| line_matches(it, &seen[line])) {
            (at, line) = (at + 1, line + 1);
        } else if let Some((start, upto)) = gap {
            gap = Some((start, upto + 1));
            (at, line) = (start + 1, upto + 1);
        } else {
            return false;
        }
    }
    expected[at..].iter().all(|it| it.trim() == GAP)
}

fn line_matches(expected: &str, seen: &str) -> bool {
    let seen = masked(seen);
    let parts: Vec<_> = expected.split(GAP).map(masked).collect();
    let [first, middle @ .., last] = &parts[..] else { return masked(expected) == seen };
    let Some(mut rest) = seen.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        let Some(found) = rest.find(part.as_str()) else { return false };
        rest = &rest[found + part.len()..];
    }
    rest.ends_with(last.as_str())
}

/// What should stand in the document, with its gaps where they were. `None` if the lines between
/// the gaps are not to be found any more.
pub fn updated(expected: &[String], seen: &[String]) -> Option<Vec<String>> {
    let mut updated = Vec::new();
    let mut rest = seen;
    let sections: Vec<_> = expected.split(|line| line.trim() == GAP).collect();
    if sections.len() == 1 {
        return Some(seen.to_vec());
    }
    for (index, section) in sections.iter().enumerate() {
        if index > 0 {
            updated.push(GAP.into());
        }
        if section.is_empty() {
            continue;
        }
        let last = rest.len().checked_sub(section.len())?;
        let starts = match index {
            0 => 0..=0,
            _ if index + 1 == sections.len() => last..=last,
            _ => 0..=last,
        };
        let likeness = |start: usize| -> usize {
            section.iter().zip(&rest[start..]).map(|(one, other)| common_words(one, other)).sum()
        };
        // The first of the most alike.
        let start = starts.rev().max_by_key(|start| likeness(*start))?;
        if likeness(start) == 0 {
            return None;
        }
        updated.extend_from_slice(&rest[start..start + section.len()]);
        rest = &rest[start + section.len()..];
    }
    Some(updated)
}

fn common_words(one: &str, other: &str) -> usize {
    let (one, other) = (masked(one), masked(other));
    let words: Vec<_> = other.split(' ').collect();
    let common = one.split(' ').filter(|word| !word.is_empty() && words.contains(word)).count();
    common + usize::from(one == other)
}

/// Both, from where they part to where they meet again.
pub fn difference(expected: &[String], seen: &[String]) -> String {
    let same = |(one, other): &(&String, &String)| line_matches(one, other);
    let before = expected.iter().zip(seen).take_while(same).count();
    let (expected, seen) = (&expected[before..], &seen[before..]);
    let after = expected.iter().rev().zip(seen.iter().rev()).take_while(same).count();
    let (expected, seen) = (&expected[..expected.len() - after], &seen[..seen.len() - after]);
    let lines = |sign: char, lines: &[String]| {
        lines.iter().map(|line| format!("  {sign} {line}\n")).collect::<String>()
    };
    lines('-', expected) + &lines('+', seen)
}

#[cfg(test)]
fn lines(text: &str) -> Vec<String> {
    text.lines().map(String::from).collect()
}

#[test]
fn gaps_stand_for_any_number_of_lines() {
    let seen = lines("a\nb\nc\nb\nd");
    for good in
        ["a\nb\nc\nb\nd", "[...]", "a\n[...]", "[...]\nb\nd", "a\n[...]\nc\n[...]\nd\n[...]"]
    {
        assert!(matches(&lines(good), &seen), "{good}");
    }
    for bad in
        ["", "a", "a\nb", "[...]\nc", "b\n[...]", "[...]\nd\n[...]\nc\n[...]", "[...]\ne\n[...]"]
    {
        assert!(!matches(&lines(bad), &seen), "{bad}");
    }
    assert!(matches(&lines("a [...] c"), &lines("a b b c")));
    assert!(!matches(&lines("a [...] d"), &lines("a b b c")));
    assert!(matches(&[], &[]) && matches(&lines("[...]"), &[]));
}

#[test]
fn an_update_keeps_the_gaps() {
    let seen = lines("x\nNAME AGE\nweb 10.0.0.9\ny\nz");
    let update = |expected: &str| updated(&lines(expected), &seen).map(|lines| lines.join("\n"));
    assert_eq!(update("").unwrap(), seen.join("\n"));
    assert_eq!(update("old").unwrap(), seen.join("\n"));
    let between = update("[...]\nNAME AGE\nweb 10.0.0.2\n[...]").unwrap();
    assert_eq!(between, "[...]\nNAME AGE\nweb 10.0.0.9\n[...]");
    assert_eq!(update("[...]\nnothing\n[...]"), None);
}
