//! Identities: one number for all pods that no policy can tell apart.
//!
//! The number is drawn, not computed: a hash of the labels short enough for the packet's mark
//! would soon be the same for two different ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::api::{IdentityStatus, Labels, SecurityLabels};

/// The node's own processes.
pub const HOST: u32 = 1;
/// Whoever is neither a pod nor the node.
pub const WORLD: u32 = 2;
/// What pods get; below are the reserved ones, above is no room in the packet's mark.
pub const FIRST: u32 = 256;
/// The last one.
pub const LAST: u32 = 65_535;

/// Labels that differ from pod to pod or from revision to revision. Each would make an identity
/// of its own, and the policy map grows with their square: they count only where a policy asks.
const UNIQUE: [&str; 8] = [
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
];

/// The labels that count for an identity; `asked` are those that live policies select by.
pub fn relevant(labels: &Labels, asked: &BTreeSet<&str>) -> Labels {
    let counts = |key: &str| !UNIQUE.contains(&key) || asked.contains(key);
    let labels = labels.iter().filter(|(key, _)| counts(key));
    labels.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A name for people.
pub fn name(id: u32) -> Option<&'static str> {
    match id {
        HOST => Some("reserved:host"),
        WORLD => Some("reserved:world"),
        _ => None,
    }
}

/// All identities there are, in use or kept.
#[derive(Debug)]
pub struct Identities {
    file: PathBuf,
    grace: Duration,
    table: Table,
    by_labels: BTreeMap<SecurityLabels, u32>,
    changed: bool,
}

/// What outlives the agent.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    /// The last number given: the next one is drawn after it, so that a number rests.
    last: u32,
    identities: BTreeMap<u32, Identity>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    labels: SecurityLabels,
    /// Since when no endpoint has it.
    unused_since: Option<SystemTime>,
}

impl Identities {
    /// Reads what an agent before us has left; nothing is a table without entries.
    pub fn load(file: PathBuf, grace: Duration) -> Result<Self> {
        let table: Table = read(&file)?.unwrap_or_default();
        let labels = |(id, identity): (&u32, &Identity)| (identity.labels.clone(), *id);
        let by_labels = table.identities.iter().map(labels).collect();
        Ok(Self { file, grace, table, by_labels, changed: false })
    }

    // #region identity
    /// The number of these labels, drawn if need be; `None` if all are taken.
    pub fn get(&mut self, labels: &SecurityLabels) -> Option<u32> {
        if let Some(id) = self.by_labels.get(labels) {
            return Some(*id);
        }
        let next = |id: u32| if (FIRST..LAST).contains(&id) { id + 1 } else { FIRST };
        if self.table.identities.len() > (LAST - FIRST) as usize {
            return None;
        }
        let mut id = next(self.table.last);
        while self.table.identities.contains_key(&id) {
            id = next(id);
        }
        let identity = Identity { labels: labels.clone(), unused_since: None };
        self.table.last = id;
        self.table.identities.insert(id, identity);
        self.by_labels.insert(labels.clone(), id);
        self.changed = true;
        Some(id)
    }

    /// Forgets what nobody has used for the grace period. Not at once: a packet's mark, or a
    /// connection, may still carry the number, and the next pod often has the same labels.
    pub fn gc_unused(&mut self, used: &BTreeSet<u32>, now: SystemTime) {
        for (id, identity) in &mut self.table.identities {
            let since = (!used.contains(id)).then(|| identity.unused_since.unwrap_or(now));
            self.changed |= since != identity.unused_since;
            identity.unused_since = since;
        }
        let grace = self.grace;
        let is_stale = |identity: &Identity| {
            let unused = identity.unused_since.and_then(|since| now.duration_since(since).ok());
            unused.is_some_and(|unused| unused >= grace)
        };
        self.table.identities.retain(|_, identity| !is_stale(identity));
        let table = &self.table.identities;
        self.by_labels.retain(|_, id| table.contains_key(id));
    }
    // #endregion identity

    /// Writes the table down, if it has changed: to be done before a map holds a new number.
    pub fn save(&mut self) -> Result<()> {
        if self.changed {
            write(&self.file, &self.table)?;
            self.changed = false;
        }
        Ok(())
    }

    /// For people, by number.
    pub fn status(&self) -> Vec<IdentityStatus> {
        let status = |(id, it): (&u32, &Identity)| IdentityStatus {
            id: *id,
            labels: it.labels.clone(),
            in_use: it.unused_since.is_none(),
        };
        self.table.identities.iter().map(status).collect()
    }
}

/// Reads a JSON file; `None` if there is none.
pub fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Option<T>> {
    match fs::read(file) {
        Ok(text) => {
            let value = serde_json::from_slice(&text);
            value.map(Some).with_context(|| format!("{} is damaged: remove it", file.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes a JSON file, by rename: nobody reads half of it.
pub fn write(file: &Path, value: &impl Serialize) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(value)?)
        .and_then(|()| fs::rename(&new, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests;
