//! Chapters differ only where the lesson is: each file that differs is in one stage, and stages
//! can be read.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapters;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use chapters::{Chapter, root};

/// Half an hour, at 25 lines a minute.
const LONGEST_STAGE: usize = 700;

/// Where the diff from one chapter to the next lies.
fn folder([before, after]: &[Chapter; 2]) -> String {
    format!("chapters/diffs/{}-to-{}", before.short(), after.short())
}

/// What a diff is about: the paths in the chapter, in its order.
fn compared(diff: &str, [before, after]: &[Chapter; 2]) -> Vec<String> {
    let lines: Vec<_> = diff.lines().collect();
    let path = |line: &str| {
        let (_, path) = line.split_once(" chapters/")?;
        [before, after]
            .iter()
            .find_map(|it| path.strip_prefix(it.name())?.strip_prefix('/'))
            .map(String::from)
    };
    let is_head = |three: &&[&str]| {
        three[0].starts_with("--- ") && three[1].starts_with("+++ ") && three[2].starts_with("@@ ")
    };
    lines.windows(3).filter(is_head).filter_map(|head| path(head[1]).or(path(head[0]))).collect()
}

/// Files that are not the same in both, new ones, and those that end. A test that the later chapter
/// runs where it stands has not ended, nor have the modules that such tests share.
fn changed([before, after]: &[Chapter; 2]) -> BTreeSet<String> {
    let (old, new) = (before.files(), after.files());
    let promised = after.promised();
    let is_kept = |file: &str| promised.contains(&format!("{}/{file}", before.name()));
    let has_kept = old.keys().any(|file| is_kept(file));
    let is_module = |file: &str| file.starts_with("tests/") && file.matches('/').count() > 1;
    let kept = |file: &&String| {
        is_kept(file) || *file == "tests/node.bats" || (has_kept && is_module(file))
    };
    let ended = old.keys().filter(|file| !new.contains_key(*file) && !kept(file));
    let others = new.keys().filter(|file| old.get(*file) != new.get(*file));
    ended.chain(others).cloned().collect()
}

#[test]
fn common_files_differ_only_where_the_stages_name_them() {
    for pair in Chapter::pairs() {
        let [before, after] = &pair;
        let named: BTreeSet<_> = after.stages().into_iter().flat_map(|it| it.lines).collect();
        let old = before.files();
        let missed: Vec<_> = changed(&pair)
            .into_iter()
            .filter(|it| old.contains_key(it) && !named.contains(it))
            .collect();
        assert!(
            missed.is_empty(),
            "{} differs from {}: {missed:?}. A change that was to be made in both? Run scripts/carry {}, \
             after a commit with HEAD~ behind it. The lesson? Name the file in {}/stages",
            after.short(),
            before.short(),
            before.short(),
            after.name()
        );
    }
}

#[test]
fn each_file_that_differs_is_in_one_stage() {
    for pair in Chapter::pairs() {
        let mut stages_of: BTreeMap<_, Vec<_>> =
            changed(&pair).into_iter().map(|file| (file, Vec::new())).collect();
        for stage in pair[1].stages() {
            let diff = format!("{}/{}.diff", folder(&pair), stage.name);
            let diff = fs::read_to_string(root().join(diff)).unwrap_or_default();
            for file in compared(&diff, &pair) {
                stages_of.entry(file).or_default().push(stage.name.clone());
            }
        }
        stages_of.retain(|_, stages| stages.len() != 1);
        assert!(
            stages_of.is_empty(),
            "{}/stages: a file that differs must be in one stage: {stages_of:#?}",
            pair[1].name()
        );
    }
}

#[test]
fn a_stage_that_is_to_be_read_is_not_too_long() {
    for pair in Chapter::pairs() {
        for stage in pair[1].stages().iter().filter(|stage| !stage.may_be_skipped) {
            let diff = format!("{}/{}.diff", folder(&pair), stage.name);
            let lines = fs::read_to_string(root().join(&diff)).unwrap().lines().count();
            assert!(lines > 0, "{diff} is empty");
            assert!(
                lines <= LONGEST_STAGE,
                "{diff} has {lines} lines, more than {LONGEST_STAGE}: split it"
            );
        }
    }
}

#[test]
fn a_chapters_name_stands_in_one_line_of_a_file_at_most() {
    for chapter in Chapter::all() {
        for (file, text) in chapter.files() {
            let lines = text.lines().filter(|line| line.contains("CHAPTER")).count();
            // Programs and library are called after it: it is said there.
            let says_it = ["Cargo.toml", "tests/chapter/library.in"].contains(&file.as_str());
            assert!(
                says_it || lines <= 1,
                "{}: {file} names its chapter in {lines} lines",
                chapter.short()
            );
        }
    }
}

/// What is in a folder and in its folders.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            let below = self::texts(&path).into_iter();
            texts.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            texts.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

#[test]
fn the_committed_diffs_are_what_the_script_generates() {
    let fresh = std::env::temp_dir().join(format!("diffs-{}", std::process::id()));
    let script = root().join("scripts/diff-chapters");
    let status = Command::new(script).env("DIFFS", &fresh).status().unwrap();
    assert!(status.success());
    let (committed, generated) = (texts(&root().join("chapters/diffs")), texts(&fresh));
    fs::remove_dir_all(&fresh).unwrap();
    let names: BTreeSet<_> = committed.keys().chain(generated.keys()).collect();
    let stale: Vec<_> =
        names.into_iter().filter(|name| committed.get(*name) != generated.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "out of date in chapters/diffs: {stale:?}: run scripts/diff-chapters"
    );
    let stages: usize = Chapter::pairs().iter().map(|pair| pair[1].stages().len()).sum();
    assert_eq!(generated.len(), stages, "a diff for each stage");
}
