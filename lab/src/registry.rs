//! The nodes that people keep: `lab up` writes them down, `lab down` strikes them out.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::processes;

/// All that the lab leaves outside of its nodes. With another one nodes of the same name live side
/// by side: each document's test has its own `node1`.
fn directory() -> PathBuf {
    env::var_os("LAB_REGISTRY").map_or_else(|| "/run/ebpfcni-lab".into(), PathBuf::from)
}

/// What is written down of a node, before it is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// What people call it.
    pub name: String,
    /// The chapter installed last, or `none`.
    pub chapter: String,
    /// Seconds since 1970.
    pub created: u64,
    id: String,
    /// The holder; `None` while the node is being made.
    pid: Option<u32>,
}

/// One `lab` command at a time.
pub fn lock() -> Result<File> {
    let directory = directory();
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}: run with sudo", directory.display()))?;
    let file = File::create(directory.join(".lock")).context("run it with sudo")?;
    file.lock().context("cannot lock the lab")?;
    Ok(file)
}

/// All nodes by name, dead and half-made ones too.
pub fn entries() -> Result<Vec<Entry>> {
    let directory = directory();
    let files = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let mut entries = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue, // removed just now
                text => text.with_context(|| path.display().to_string())?,
            };
            let broken = || format!("{} is damaged: remove it", path.display());
            entries.push(serde_json::from_slice::<Entry>(&text).with_context(broken)?);
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// A node's entry, if there is one.
pub fn find(name: &str) -> Result<Option<Entry>> {
    Ok(entries()?.into_iter().find(|entry| entry.name == name))
}

/// Makes a node that stays. Its entry comes first: whatever is killed, `lab down` knows the id.
pub fn create(name: &str, created: u64) -> Result<(Entry, Node)> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    ensure!(plain && !name.is_empty(), "a node's name is letters, digits and '-', not {name:?}");
    let id = format!("{name}-{:016x}", fastrand::u64(..));
    let mut entry = Entry { name: name.into(), chapter: "none".into(), created, id, pid: None };
    entry.save()?;
    let node = Node::new_kept(name, &entry.id)?;
    entry.pid = Some(node.pid());
    entry.save()?;
    Ok((entry, node))
}

impl Entry {
    /// The node itself, if it is alive.
    pub fn node(&self) -> Result<Node> {
        let pid = self.pid.with_context(|| format!("node {} is half made", self.name))?;
        Node::of_holder(&self.name, &self.id, pid)
    }

    /// Remembers which chapter is installed.
    pub fn set_chapter(&mut self, chapter: &str) -> Result<()> {
        self.chapter = chapter.into();
        self.save()
    }

    /// Ends the node, dead or alive, and forgets it.
    pub fn remove(&self) -> Result<()> {
        processes::stop(&self.id)?;
        let path = self.path();
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    fn path(&self) -> PathBuf {
        directory().join(format!("{}.json", self.name))
    }

    fn save(&self) -> Result<()> {
        let temporary = self.path().with_extension("new");
        let saved = fs::write(&temporary, serde_json::to_vec(self)?);
        saved
            .and_then(|()| fs::rename(&temporary, self.path()))
            .context("cannot write the registry")
    }
}
