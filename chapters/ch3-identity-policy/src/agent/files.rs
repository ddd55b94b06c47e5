//! What outlives the agent: JSON files, root's alone.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Makes a directory, and those above it. It is root's alone, also if it was not before.
pub fn make_directory(directory: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot use {}", directory.display()))
}

/// Reads a JSON file; `None` if there is none. It is root's alone, also if it was not before.
pub fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Option<T>> {
    match fs::read(file) {
        Ok(text) => {
            let _ = fs::set_permissions(file, Permissions::from_mode(0o600));
            let value = serde_json::from_slice(&text);
            value.map(Some).with_context(|| format!("{} is damaged: remove it", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes a JSON file, by rename: nobody reads half of it.
pub fn write(file: &Path, value: &impl Serialize) -> Result<()> {
    let new = file.with_extension("new");
    let text = serde_json::to_vec(value)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(&new)
        .and_then(|mut open| open.write_all(&text))
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new); // half of it would only take room
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
