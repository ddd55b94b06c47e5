//! Removing entries that count for nobody any more.

use anyhow::{Context as _, Result};
use aya::maps::MapError;

use super::Datapath;
use crate::maps::{is_absent, key};

impl Datapath {
    // #region sweep
    /// Removes what counts for nobody any more. Not with the change itself: a program that has
    /// found an entry may be reading it, and the kernel gives its memory to the next one at once.
    /// Hence a wait before, and one after.
    pub fn sweep(&mut self) -> Result<()> {
        self.spare_tables()?;
        // What is to end with an epoch that has not come counts.
        if self.unpublished || (self.dead.is_empty() && self.readers.are_none()) {
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
        self.readers.wait()
    }
    // #endregion sweep
}

fn ignore_absent(removed: Result<(), MapError>) -> Result<()> {
    match removed {
        Err(error) if !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
