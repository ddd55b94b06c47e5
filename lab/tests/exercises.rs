//! Exercises: the chapter as it is solves none, and the solution that comes with each solves it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// The exercises of a chapter.
fn exercises(chapter: &str) -> Vec<String> {
    let names = names(&root().join("exercises")).into_iter().map(|it| it.into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{chapter}-"))).collect()
}

/// Makes a folder that belongs to who called sudo: they build in it, and clean up.
fn make(folder: &Path) {
    let id = |name: &str| env::var(name).ok().and_then(|id| id.parse().ok());
    fs::create_dir_all(folder).unwrap();
    chown(folder, id("SUDO_UID"), id("SUDO_GID")).unwrap();
}

/// Makes `to` the same as `from`. What is the same already is not touched: cargo would build it
/// anew.
fn mirror(from: &Path, to: &Path) {
    if !from.is_dir() {
        if fs::read(from).ok() != fs::read(to).ok() {
            fs::copy(from, to).unwrap();
        }
        return;
    }
    make(to);
    for gone in names(to).difference(&names(from)) {
        let gone = to.join(gone);
        if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) }.unwrap();
    }
    for name in names(from) {
        mirror(&from.join(&name), &to.join(&name));
    }
}

/// Below target/, where copies are, and what they build: where the chapters' own programs are,
/// other tests look for them.
fn copies() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("exercises")
}

/// A copy of what an exercise needs, to try solutions in.
struct Workspace(PathBuf);

impl Workspace {
    fn new(chapter: &str) -> Self {
        make(&copies());
        let workspace = Self(copies().join(chapter));
        make(&workspace.0);
        workspace.reset();
        workspace
    }

    fn reset(&self) {
        for part in ["Cargo.lock", "Cargo.toml", "bench", "chapters", "exercises", "lab", "scripts"]
        {
            mirror(&root().join(part), &self.0.join(part));
        }
    }

    fn run(&self, exercise: &str, option: Option<&str>) -> Output {
        let mut command = Command::new(self.0.join("scripts/exercise"));
        command.arg(exercise).args(option).env("LAB", env!("CARGO_BIN_EXE_lab"));
        command.env("CARGO_TARGET_DIR", copies().join("target"));
        // For git the copy is a part of the repository that it ignores, unless it sees none.
        command.env("GIT_CEILING_DIRECTORIES", copies());
        command.output().unwrap()
    }
}

fn each_is_solved_by_its_solution_only(chapter: &str) {
    let workspace = Workspace::new(chapter);
    let exercises = exercises(chapter);
    assert!(exercises.len() >= 2, "{exercises:?}");
    for name in &exercises {
        let output = workspace.run(name, None);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains("not yet: "), "{output:#?}");
    }
    for name in &exercises {
        let applied = workspace.run(name, Some("--apply"));
        assert!(applied.status.success(), "{applied:#?}");
        let output = workspace.run(name, None);
        assert!(output.status.success(), "{output:#?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "warnings of {name}");
        workspace.reset();
    }
}

#[test]
fn chapter_1s_exercises_are_solved_by_their_solutions_only() {
    each_is_solved_by_its_solution_only("ch1");
}

#[test]
fn chapter_2s_exercises_are_solved_by_their_solutions_only() {
    each_is_solved_by_its_solution_only("ch2");
}

#[test]
fn chapter_3s_exercises_are_solved_by_their_solutions_only() {
    each_is_solved_by_its_solution_only("ch3");
}

#[test]
fn chapter_4s_exercises_are_solved_by_their_solutions_only() {
    each_is_solved_by_its_solution_only("ch4");
}

#[test]
fn a_solution_is_small_and_changes_its_chapter_only() {
    let of = |chapter| exercises(chapter).into_iter().map(move |name| (name, chapter));
    for (name, chapter) in ["ch1", "ch2", "ch3", "ch4"].into_iter().flat_map(of) {
        let patch = root().join("exercises").join(&name).join("solution.patch");
        let patch = fs::read_to_string(patch).unwrap();
        let files = patch.lines().filter_map(|line| line.strip_prefix("+++ b/"));
        let own = format!("chapters/{chapter}-");
        assert!(
            files.clone().count() > 0 && files.clone().all(|it| it.starts_with(&own)),
            "{name}"
        );
        let is_change = |line: &&str| line.starts_with('+') && !line.starts_with("+++ ");
        let lines = patch.lines().filter(is_change).count();
        assert!(lines <= 40, "{name} is {lines} lines");
    }
}
