//! Removing entries that count for nobody any more.

use anyhow::{Context as _, Result};

use super::Datapath;
use super::sets::ignore_absent;
use crate::maps::{Policy, key};

impl Datapath {
    // #region sweep
    /// Removes what counts for nobody any more. Not with the change itself: a program that has
    /// found an entry may be reading it, and the kernel gives its memory to the next one at once.
    /// Hence a wait before, and one after.
    pub fn sweep(&mut self) -> Result<()> {
        self.spare_tables()?;
        // What is to end with an epoch that has not come counts.
        let is_clean = self.dead.is_empty() && self.readers.are_none();
        if self.unpublished || (is_clean && !self.has_unused_sets()) {
            return Ok(());
        }
        self.readers.wait()?;
        while let Some(address) = self.dead.endpoints.first().copied() {
            ignore_absent(self.endpoint_map.remove(&key(address))).context("endpoint_map")?;
            self.endpoints.remove(&address);
            self.dead.endpoints.remove(&address);
        }
        while let Some(pair) = self.dead.policy.first().copied() {
            ignore_absent(self.policy_map.remove(&pair)).context("policy_map")?;
            self.policy.remove(&pair);
            self.dead.policy.remove(&pair);
        }
        self.readers.wait()?;
        let used: Vec<_> = self.used_sets().collect();
        self.sets.sweep(used.into_iter())
    }
    // #endregion sweep

    /// What counts, or is about to.
    fn used_sets(&self) -> impl Iterator<Item = Policy> {
        self.policy.values().flat_map(|entry| entry.versions.counting(self.epoch))
    }

    pub(super) fn has_unused_sets(&self) -> bool {
        self.sets.has_unused(self.used_sets())
    }
}
