//! The repository's documents: which there are, and what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Not ours, generated, or (the slides) with rules of their own.
const OTHERS: [&str; 5] = ["bundle", "dist", "node_modules", "slides", "target"];

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A document, by its path from the root.
#[derive(Debug, Clone)]
pub struct Document {
    pub path: String,
    pub text: String,
}

impl Document {
    /// From a path below the root.
    pub fn read(path: &str) -> Self {
        Self { path: path.into(), text: fs::read_to_string(root().join(path)).unwrap() }
    }

    /// Its folder, from the root: `""` for the root itself.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    pub fn is_english(&self) -> bool {
        !self.path.ends_with(".zh-TW.md")
    }
}

/// All documents of the repository, in order.
pub fn all() -> Vec<Document> {
    let paths = files().into_iter().filter(|path| path.ends_with(".md"));
    let documents: Vec<_> = paths.map(|path| Document::read(&path)).collect();
    assert!(documents.len() >= 5, "where are the documents? {documents:?}");
    documents
}

/// The documents in English.
pub fn english() -> Vec<Document> {
    all().into_iter().filter(Document::is_english).collect()
}

/// All files of the repository, by their paths from the root.
pub fn files() -> Vec<String> {
    below("")
}

/// The files below a folder, by their paths from the root, in order. Links are not followed.
pub fn below(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
            let name = name.to_str().unwrap();
            if kind.is_dir() && !name.starts_with('.') && !OTHERS.contains(&name) {
                walk(&entry.path(), found);
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root.join(folder), &mut found);
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
    let mut paths: Vec<_> = found.iter().map(relative).collect();
    paths.sort();
    paths
}
