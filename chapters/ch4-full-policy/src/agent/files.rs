//! What outlives the agent: JSON files, root's alone.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::private;

/// Makes a directory, and those above it. It is root's alone, also if it was not before.
pub fn make_directory(directory: &Path) -> Result<()> {
    private::make_dir(directory).with_context(|| format!("cannot use {}", directory.display()))
}

/// Reads a JSON file; `None` if there is none.
pub fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Option<T>> {
    match fs::read(file) {
        Ok(text) => {
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
    let written = private::file()
        .create(true)
        .truncate(true)
        .open(&new)
        .and_then(|mut open| open.write_all(&text))
        .and_then(|()| fs::rename(&new, file));
    if written.is_err() {
        let _ = fs::remove_file(&new); // half of it would only take room
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
