//! What a chapter promises holds in the later ones too, and stands once: a test is in the chapter
//! that first promises it, and others name it in their Cargo.toml.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapters;

use std::collections::BTreeMap;

use chapters::Chapter;

/// The tests that cargo finds in a chapter: `tests/links.rs`.
fn own(chapter: &Chapter) -> Vec<String> {
    let is_test = |file: &String| {
        file.strip_prefix("tests/").is_some_and(|it| it.ends_with(".rs") && !it.contains('/'))
    };
    chapter.files().into_keys().filter(is_test).collect()
}

/// All tests that a chapter runs, with the chapter that they stand in.
fn run_by(chapter: &Chapter) -> Vec<String> {
    let own = own(chapter).into_iter().map(|file| format!("{}/{file}", chapter.name()));
    chapter.promised().into_iter().chain(own).collect()
}

#[test]
fn a_test_holds_for_later_chapters_or_they_say_that_it_ends() {
    for [before, after] in Chapter::pairs() {
        let (promised, own) = (after.promised(), own(&after));
        let named: Vec<_> = after.stages().into_iter().flat_map(|it| it.lines).collect();
        for test in run_by(&before) {
            let (_, file) = test.split_once('/').unwrap();
            // One of its own in the place of it, or none: then it is a change, and in a stage.
            let replaced = own.iter().any(|it| it == file) || named.iter().any(|it| it == file);
            assert!(
                promised.contains(&test) || replaced,
                "{}/Cargo.toml does not promise ../{test}, and no stage says that it ends",
                after.name()
            );
        }
    }
}

#[test]
fn a_test_that_is_promised_is_there_and_has_its_files_name() {
    for chapter in Chapter::all() {
        let earlier: Vec<_> = Chapter::all().into_iter().take_while(|it| *it != chapter).collect();
        for test in chapter.promised() {
            let there = earlier.iter().any(|it| run_by(it).contains(&test));
            assert!(there, "{}/Cargo.toml: no earlier chapter runs {test}", chapter.name());
            let name = test.rsplit('/').next().unwrap().trim_end_matches(".rs");
            let line = format!("{{ name = \"{name}\", path = \"../{test}\" }}");
            assert!(
                chapter.read("Cargo.toml").contains(&line),
                "{}/Cargo.toml: write {line}",
                chapter.name()
            );
        }
    }
}

#[test]
fn no_test_stands_twice() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for chapter in Chapter::all() {
        // A link to an earlier chapter's test is no copy of it.
        let is_own = |file: &str| file.starts_with("tests/") && !chapter.has_link(file);
        for (file, text) in chapter.files().into_iter().filter(|it| is_own(&it.0)) {
            places.entry(text).or_default().push(format!("{}/{file}", chapter.name()));
        }
    }
    let copies: Vec<_> = places.into_values().filter(|places| places.len() > 1).collect();
    assert!(
        copies.is_empty(),
        "copies: {copies:#?}. Keep the first, and name it in the Cargo.toml of the others"
    );
}
