//! What the engine does though nothing has happened.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use super::Engine;
use crate::agent::objects::changed::Which;
use crate::agent::reconcile::datapath::Datapath;
use crate::agent::reconcile::filters::Veths;
use crate::{bridge, tc};

/// How often the maps are read back, and links and all objects looked at, though nothing has
/// happened.
pub(super) const RESYNC: Duration = Duration::from_secs(10);
/// So much later at most, if it is never quiet.
pub(super) const LATEST: Duration = Duration::from_secs(30);
/// After so long without a message it is quiet: time to sweep, and to try again what has failed.
const QUIET: Duration = Duration::from_secs(1);

impl Engine {
    /// How long to wait for a message.
    pub(super) fn pause(&self) -> Duration {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let resync = left(self.resync);
        let busy = !self.swept || self.wanted.claims.has_failed() || resync.is_zero();
        let pause = if busy { QUIET } else { resync };
        self.waiting.patience().map_or(pause, |patience| pause.min(left(patience)))
    }

    /// It is quiet: time for what would keep a change waiting.
    pub(super) fn idle(&mut self) {
        if Instant::now() >= self.resync {
            self.resync();
        } else if !self.swept {
            self.swept = true;
            if let Err(error) = self.datapath.sweep() {
                tracing::error!("cannot sweep the maps: {error:#}");
            }
        }
    }

    /// Finds out what we have heard nothing of.
    pub(super) fn look_around(&mut self) {
        // First: what is in the reflectors by then is this revision, or a later one.
        let revision = self.stores.snapshot.borrow().revision;
        self.stores.look_at(&Which::All, &mut self.directory);
        self.revision = self.revision.max(revision);
        let removed = self.local.remove_gone();
        self.found = removed.err().map(|error| format!("{error:#}")).into_iter().collect();
        // Identities that rest are shown as well, and those that do not any more are not.
        self.wanted.for_view.identities.extend(self.identities.iter().map(|(id, _)| id));
        self.wanted.for_view.identities.extend(self.view.borrow().identities.keys());
    }

    /// Nothing has happened, as far as we know. If something is not as it should be, it is looked
    /// at again soon.
    pub(super) fn resync(&mut self) {
        self.look_around();
        self.identities.gc_unused(&self.wanted.claims.owners.identities(), SystemTime::now());
        let describe = |error: anyhow::Error| format!("{error:#}");
        let found = [self.identities.save(), self.ensure_forwarding()];
        self.found.extend(found.into_iter().filter_map(Result::err).map(describe));
        let maps = self.compare_maps().context("the maps cannot be compared with what is wanted");
        self.faults = maps.err().map(describe);
        self.doubtful = Veths::All;
        self.swept = false; // it may have found what is to be removed
        let is_well = self.found.is_empty() && self.faults.is_none();
        self.resync = Instant::now() + if is_well { RESYNC } else { QUIET };
    }

    /// Somebody may have removed the programs' or the maps' pins: then both are made anew.
    fn compare_maps(&mut self) -> Result<()> {
        tc::programs()?;
        match self.datapath.is_pinned() {
            true => self.datapath.compare(),
            false => Datapath::open().map(|datapath| self.datapath = datapath),
        }
    }

    /// ADD turns it on, and a reload of sysctl's settings may turn it off again.
    fn ensure_forwarding(&self) -> Result<()> {
        self.local.iter().next().map_or(Ok(()), |_| bridge::enable_forwarding())
    }
}
