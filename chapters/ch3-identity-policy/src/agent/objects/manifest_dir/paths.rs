//! Which files there are, and which have changed.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::ManifestDir;
use crate::agent::objects::manifest::{is_manifest, stamp_of};

impl ManifestDir {
    /// All files of the directory, and those that are remembered but gone.
    pub(super) fn paths(&self) -> Result<BTreeSet<PathBuf>> {
        let unreadable = || format!("cannot read {}", self.directory.display());
        let mut paths: BTreeSet<_> = self.files.keys().chain(self.broken.keys()).cloned().collect();
        for entry in fs::read_dir(&self.directory).with_context(unreadable)? {
            paths.insert(entry.with_context(unreadable)?.path());
        }
        paths.retain(|path| is_manifest(path));
        Ok(paths)
    }

    /// Which files are others than those that were read.
    pub(super) fn stale(&self) -> Result<BTreeSet<PathBuf>> {
        let mut paths = self.paths()?;
        let snapshot = self.snapshot.borrow();
        paths.retain(|path| {
            let file = fs::metadata(path).ok().filter(Metadata::is_file);
            file.map(|file| stamp_of(&file)).as_ref() != snapshot.files.get(&name_of(path))
        });
        Ok(paths)
    }
}

/// A file is known by its name: all are in one directory.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
