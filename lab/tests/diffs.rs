//! Chapters differ only where the lesson is.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The chapters' folders in order.
fn chapters() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("chapters")).unwrap().map(|entry| entry.unwrap().path());
    let mut chapters: Vec<_> = entries.filter(|path| path.join("Cargo.toml").exists()).collect();
    chapters.sort();
    assert!(chapters.len() >= 2, "{chapters:?}");
    chapters
}

/// `ch1` of `chapters/ch1-basic-cni`.
fn short(chapter: &Path) -> &str {
    chapter.file_name().unwrap().to_str().unwrap().split('-').next().unwrap()
}

/// All files but the texts, by their path in the chapter, with the chapter's name taken out.
fn files(chapter: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let name = chapter.file_name().unwrap().to_str().unwrap();
    let mut found = Vec::new();
    walk(chapter, &mut found);
    let relative =
        |path: &PathBuf| path.strip_prefix(chapter).unwrap().to_str().unwrap().to_string();
    let is_code = |path: &PathBuf| !relative(path).contains("README");
    let normal = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.replace(name, "CHAPTER").replace(&name.replace('-', "_"), "CHAPTER")
    };
    found.iter().filter(|path| is_code(path)).map(|path| (relative(path), normal(path))).collect()
}

/// The allow-list: (chapters, file) and whether the file ends there.
fn allowed() -> BTreeMap<(String, String), bool> {
    let text = fs::read_to_string(root().join("chapters/diffs/allowed")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let entry = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(String::from).collect();
        ((words[0].clone(), words[1].clone()), words.get(2).is_some_and(|word| word == "ends"))
    };
    lines.map(entry).collect()
}

#[test]
fn common_files_differ_only_where_the_list_allows_it() {
    let mut unused: BTreeSet<_> = allowed().into_keys().collect();
    for pair in chapters().windows(2) {
        let pair_name = format!("{}-to-{}", short(&pair[0]), short(&pair[1]));
        let (before, after) = (files(&pair[0]), files(&pair[1]));
        for (file, text) in &before {
            let key = (pair_name.clone(), file.clone());
            let allowed = allowed().get(&key).copied();
            match after.get(file) {
                Some(other) if other == text => {}
                Some(_) => {
                    assert_eq!(allowed, Some(false), "{file} differs ({pair_name})");
                    unused.remove(&key);
                }
                None => {
                    assert_eq!(allowed, Some(true), "{file} is gone ({pair_name})");
                    unused.remove(&key);
                }
            }
        }
    }
    assert!(unused.is_empty(), "allowed, but not different: {unused:?}");
}

#[test]
fn a_chapters_name_stands_in_one_line_of_a_file_at_most() {
    for chapter in chapters() {
        for (file, text) in files(&chapter) {
            let lines = text.lines().filter(|line| line.contains("CHAPTER")).count();
            assert!(lines <= 1, "{}: {file} names its chapter in {lines} lines", short(&chapter));
        }
    }
}

#[test]
fn the_committed_diffs_are_what_the_script_generates() {
    let fresh = std::env::temp_dir().join(format!("diffs-{}", std::process::id()));
    fs::create_dir_all(&fresh).unwrap();
    let script = root().join("scripts/diff-chapters");
    let status = Command::new(script).env("DIFFS", &fresh).status().unwrap();
    assert!(status.success());
    let mut compared = 0;
    for entry in fs::read_dir(&fresh).unwrap() {
        let entry = entry.unwrap();
        let committed = root().join("chapters/diffs").join(entry.file_name());
        let same = fs::read(entry.path()).unwrap() == fs::read(&committed).unwrap_or_default();
        assert!(same, "{} is out of date: run scripts/diff-chapters", committed.display());
        compared += 1;
    }
    fs::remove_dir_all(&fresh).unwrap();
    assert_eq!(compared, chapters().len() - 1);
}
