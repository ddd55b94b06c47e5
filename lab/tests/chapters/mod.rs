//! The chapters: their files, and what each says of itself.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A chapter by its folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Chapter(PathBuf);

/// A heading of the file `stages`: `[NAME] what it is about (skip)`.
#[derive(Debug)]
pub struct Stage {
    /// `01-slide`: its place and its name.
    pub name: String,
    /// Who reads for the first time need not read it.
    pub may_be_skipped: bool,
    /// Paths and patterns, as they stand there.
    pub lines: Vec<String>,
}

impl Chapter {
    /// All of them in order.
    pub fn all() -> Vec<Self> {
        let entries =
            fs::read_dir(root().join("chapters")).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = entries.filter(|path| path.join("Cargo.toml").exists()).collect();
        all.sort();
        assert!(all.len() >= 2, "{all:?}");
        all.into_iter().map(Self).collect()
    }

    /// Each with the one that follows it.
    pub fn pairs() -> Vec<[Self; 2]> {
        Self::all().windows(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
    }

    /// `ch1-basic-cni`
    pub fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    /// `ch1`
    pub fn short(&self) -> &str {
        self.name().split('-').next().unwrap()
    }

    /// A file's text.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file))
            .unwrap_or_else(|error| panic!("{self:?}/{file}: {error}"))
    }

    /// All files but texts and `stages`, by their paths in the chapter; `CHAPTER` stands for its
    /// name.
    pub fn files(&self) -> BTreeMap<String, String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &mut found);
        let paths = found.iter().map(|path| path.strip_prefix(&self.0).unwrap().to_str().unwrap());
        let code = paths.filter(|path| !path.ends_with(".md") && *path != "stages");
        let text = |path: &str| {
            let text = self.read(path).replace(self.name(), "CHAPTER");
            text.replace(&self.name().replace('-', "_"), "CHAPTER")
        };
        code.map(|path| (path.to_string(), text(path))).collect()
    }

    /// Is a file of it a link?
    pub fn has_link(&self, file: &str) -> bool {
        self.0.join(file).is_symlink()
    }

    /// What its file `stages` says, in reading order.
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<Stage> = Vec::new();
        for line in self.read("stages").lines().filter(|it| !it.is_empty() && !it.starts_with('#'))
        {
            if let Some((name, heading)) = line.strip_prefix('[').and_then(|it| it.split_once("] "))
            {
                stages.push(Stage {
                    name: format!("{:02}-{name}", stages.len() + 1),
                    may_be_skipped: heading.ends_with(" (skip)"),
                    lines: Vec::new(),
                });
            } else {
                stages.last_mut().expect("a path below a heading").lines.push(line.into());
            }
        }
        stages
    }

    /// Tests of earlier chapters that its Cargo.toml runs: `ch1-basic-cni/tests/links.rs`.
    pub fn promised(&self) -> Vec<String> {
        let manifest = self.read("Cargo.toml");
        let paths = manifest.split("path = \"../").skip(1);
        paths.map(|rest| rest.split('"').next().unwrap().to_string()).collect()
    }
}
