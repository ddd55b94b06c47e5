//! Programs that still run, and may be reading entries as they were before.

use anyhow::Result;

use crate::agent::reconcile::changes::Changes;
use crate::agent::reconcile::grace::{self, Wait};

/// What they may be reading.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// Entries that were written, and for whose readers nobody waits yet.
    pub(super) recent: Changes,
    /// Those for whose readers a wait has begun.
    in_grace: Changes,
    wait: Wait,
}

impl Readers {
    /// Surely nobody reads anything as it was before.
    pub(super) fn are_none(&self) -> bool {
        self.recent.is_empty() && self.in_grace.is_empty()
    }

    /// The next change may come to the same entries: it should not have to wait then.
    pub(super) fn begin_to_wait(&mut self) {
        if self.wait.is_over() {
            let _ = self.end_wait(); // what has failed is waited for when it must be
            // Without a thread the next change waits itself.
            if let Ok(wait) = Wait::begin() {
                self.in_grace = std::mem::take(&mut self.recent);
                self.wait = wait;
            }
        }
    }

    fn end_wait(&mut self) -> Result<()> {
        let ended = self.wait.end();
        let in_grace = std::mem::take(&mut self.in_grace);
        if ended.is_err() {
            self.recent.extend(in_grace);
        }
        ended
    }

    /// Returns when nobody reads these entries as they were before.
    pub(super) fn wait_for(&mut self, entries: &Changes) -> Result<()> {
        if self.wait.is_over() || entries.meets(&self.in_grace) {
            let _ = self.end_wait(); // as above
        }
        if entries.meets(&self.recent) { self.wait() } else { Ok(()) }
    }

    /// Returns when nobody reads any entry as it was before.
    pub(super) fn wait(&mut self) -> Result<()> {
        grace::wait()?;
        (self.recent, self.in_grace) = Default::default();
        Ok(())
    }
}
