//! Identities: one number for all pods that no policy can tell apart.
//!
//! The number is drawn, not computed: a hash of the labels short enough for the packet's mark
//! would soon be the same for two different ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::agent::files::{read, write};
use crate::api::SecurityLabels;

/// The node's own processes.
pub const HOST: u32 = 1;
/// All that is neither a pod nor the node.
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

/// Does such a label count only if a policy asks for it?
pub fn is_unique(key: &str) -> bool {
    UNIQUE.contains(&key)
}

/// What live policies ask about, and what counts for an identity only then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Keys of labels.
    pub labels: BTreeSet<String>,
    /// Names of ports: pods that are alike but for the number are two identities then.
    pub ports: BTreeSet<String>,
}

// #region relevant
/// What counts of all that a policy could ask about.
pub fn relevant(mut labels: SecurityLabels, asked: &Asked) -> SecurityLabels {
    // #region counts
    labels.labels.retain(|key, _| !is_unique(key) || asked.labels.contains(key));
    labels.ports.retain(|port| asked.ports.contains(&port.name));
    // #endregion counts
    labels
}
// #endregion relevant

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
    rest: Duration,
    table: Table,
    by_labels: HashMap<Arc<SecurityLabels>, u32>,
    /// Drawn since the table was written down last.
    unsaved: BTreeSet<u32>,
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
    labels: Arc<SecurityLabels>,
    /// Since when no endpoint has it.
    unused_since: Option<SystemTime>,
}

impl Identities {
    /// Reads what an agent before us has left; nothing is a table without entries.
    pub fn load(file: PathBuf, rest: Duration) -> Result<Self> {
        let table: Table = read(&file)?.unwrap_or_default();
        let labels = |(id, identity): (&u32, &Identity)| (identity.labels.clone(), *id);
        let by_labels = table.identities.iter().map(labels).collect();
        Ok(Self { file, rest, table, by_labels, unsaved: BTreeSet::new(), changed: false })
    }

    // #region identity
    /// The number of these labels, drawn if need be; `None` if all are taken. One that is drawn
    /// must not be used before it [is saved](Self::is_saved).
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
        let labels = Arc::new(labels.clone());
        self.table.last = id;
        self.table.identities.insert(id, Identity { labels: labels.clone(), unused_since: None });
        self.by_labels.insert(labels, id);
        self.unsaved.insert(id);
        self.changed = true;
        Some(id)
    }

    /// Forgets what nobody has used for the rest period. Not at once: a packet's mark, or a
    /// connection, may still carry the number, and the next pod often has the same labels.
    pub fn gc_unused(&mut self, used: &BTreeSet<u32>, now: SystemTime) {
        for (id, identity) in &mut self.table.identities {
            let since = (!used.contains(id)).then(|| identity.unused_since.unwrap_or(now));
            self.changed |= since != identity.unused_since;
            identity.unused_since = since;
        }
        let rest = self.rest;
        let is_stale = |identity: &Identity| {
            let unused = identity.unused_since.and_then(|since| now.duration_since(since).ok());
            unused.is_some_and(|unused| unused >= rest)
        };
        self.table.identities.retain(|_, identity| !is_stale(identity));
        let table = &self.table.identities;
        if self.by_labels.len() > table.len() {
            self.by_labels.retain(|_, id| table.contains_key(id));
            self.unsaved.retain(|id| table.contains_key(id));
            self.changed = true;
        }
    }
    // #endregion identity

    /// Writes the table down, if it has changed.
    pub fn save(&mut self) -> Result<()> {
        if self.changed {
            write(&self.file, &self.table)?;
            self.unsaved.clear();
            self.changed = false;
        }
        Ok(())
    }

    /// Writes the table down, if there is a new number in it: a map may hold it for longer than
    /// the agent lives.
    pub fn save_new(&mut self) -> Result<()> {
        if self.unsaved.is_empty() { Ok(()) } else { self.save() }
    }

    /// Will an agent after us know this number?
    pub fn is_saved(&self, id: u32) -> bool {
        !self.unsaved.contains(&id)
    }

    /// What a number stands for.
    pub fn labels(&self, id: u32) -> Option<&Arc<SecurityLabels>> {
        self.table.identities.get(&id).map(|identity| &identity.labels)
    }

    /// All numbers, and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<SecurityLabels>)> {
        self.table.identities.iter().map(|(id, identity)| (*id, &identity.labels))
    }
}

#[cfg(test)]
mod tests;
