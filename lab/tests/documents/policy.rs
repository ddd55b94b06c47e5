//! Chapter 3's page of NetworkPolicy's rules names each test that proves one.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use crate::repository::{Document, files, root};

const PAGE: &str = "chapters/ch3-identity-policy/POLICY.md";
const TESTS: &str = "chapters/ch3-identity-policy/tests/";

#[test]
fn every_rules_test_is_on_its_page_and_every_test_on_the_page_exists() {
    let function = Regex::new(r"(?m)^fn (\w+)\(").unwrap();
    let (mut all, mut of_rules) = (BTreeSet::new(), BTreeSet::new());
    for path in files().iter().filter(|path| path.starts_with(TESTS) && path.ends_with(".rs")) {
        let source = fs::read_to_string(root().join(path)).unwrap();
        all.extend(function.captures_iter(&source).map(|it| it[1].to_string()));
    }
    let of_a_rule = Regex::new(r"^s\d+_").unwrap();
    of_rules.extend(all.iter().filter(|name| of_a_rule.is_match(name)).cloned());

    let name = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`").unwrap();
    let page = Document::read(PAGE).text;
    let metric = |name: &String| name.starts_with("ebpf_agent_");
    let named: BTreeSet<_> = name.captures_iter(&page).map(|it| it[1].to_string()).collect();
    let unknown: Vec<_> = named.iter().filter(|it| !all.contains(*it) && !metric(it)).collect();
    assert!(unknown.is_empty(), "{PAGE} names tests that there are not: {unknown:?}");
    let missing: Vec<_> = of_rules.difference(&named).collect();
    assert!(missing.is_empty(), "{PAGE} lacks these tests, each by its rule's number: {missing:?}");
    assert!(of_rules.len() > 30, "{} tests of rules: are they still named so?", of_rules.len());

    let rule = |name: &String| name[1..name.find('_').unwrap()].to_string();
    for name in &of_rules {
        let row = page.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap();
        assert!(
            row.starts_with(&format!("| S{} |", rule(name))),
            "{PAGE}: {name} stands in another rule's row"
        );
    }
}
