//! The pages of NetworkPolicy's rules name each test that proves one.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::repository::{Document, files, root};

/// A chapter's page, whose tests it may name, and how those of rules begin: `s8_…`.
struct Page {
    chapter: &'static str,
    tests: &'static [&'static str],
    letter: char,
}

const PAGES: [Page; 2] = [
    Page { chapter: "ch3-identity-policy", tests: &["ch3-identity-policy"], letter: 's' },
    Page {
        chapter: "ch4-full-policy",
        tests: &["ch4-full-policy", "ch3-identity-policy"],
        letter: 'r',
    },
];

/// What the kernel does, which is no rule: a file of chapter 4's.
const OF_THE_KERNEL: &str = "/r1_translation.rs";

#[test]
fn every_rules_test_is_on_its_page_and_every_test_on_the_page_exists() {
    PAGES.iter().for_each(check);
}

/// The tests in some files.
fn tests<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let function = Regex::new(r"(?m)^fn (\w+)\(").unwrap();
    let sources = paths.map(|path| fs::read_to_string(root().join(path)).unwrap());
    let names = sources.flat_map(|source| {
        function.captures_iter(&source).map(|it| it[1].to_string()).collect::<Vec<_>>()
    });
    names.collect()
}

fn check(Page { chapter, tests: chapters, letter }: &Page) {
    let files = files();
    let of = |chapter: &str| {
        let folder = format!("chapters/{chapter}/tests/");
        let its = files.iter().filter(move |path| path.starts_with(&folder));
        its.filter(|path| path.ends_with(".rs"))
    };
    let all = tests(chapters.iter().flat_map(|chapter| of(chapter)));
    let mut of_rules = tests(of(chapter).filter(|path| !path.ends_with(OF_THE_KERNEL)));
    let of_a_rule = Regex::new(&format!(r"^{letter}\d+_")).unwrap();
    of_rules.retain(|name| of_a_rule.is_match(name));

    let name = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`").unwrap();
    let path = format!("chapters/{chapter}/POLICY.md");
    let page = Document::read(&path).text;
    let metric = |name: &String| name.starts_with("ebpf_agent_");
    let named: BTreeSet<_> = name.captures_iter(&page).map(|it| it[1].to_string()).collect();
    let unknown: Vec<_> = named.iter().filter(|it| !all.contains(*it) && !metric(it)).collect();
    assert!(unknown.is_empty(), "{path} names tests that there are not: {unknown:?}");
    let missing: Vec<_> = of_rules.difference(&named).collect();
    assert!(missing.is_empty(), "{path} lacks these tests, each by its rule's number: {missing:?}");
    assert!(of_rules.len() > 30, "{} tests of rules: are they still named so?", of_rules.len());

    let rule = |name: &String| name[1..name.find('_').unwrap()].to_string();
    let letter = letter.to_ascii_uppercase();
    for name in &of_rules {
        let row = page.lines().find(|line| {
            let number = format!("| {letter}{} |", rule(name));
            line.contains(&format!("`{name}`")) && line.starts_with(&number)
        });
        assert!(row.is_some(), "{path}: {name} stands in another rule's row");
    }
}
