//! The loop: whatever has happened, find out what is wanted and write what differs. It runs in a
//! thread of its own, and may wait for the kernel and for files as long as they take.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::datapath::Datapath;
use super::directory::Directory;
use super::files::make_directory;
use super::filters::{Filters, Veths};
use super::identity::Identities;
use super::local::Local;
use super::metrics::Metrics;
use super::stores::{Stores, Which};
use super::view::View;
use super::waiting::Waiting;
use super::wanted::{News, Wanted};
use crate::api::NewEndpoint;
use crate::{bridge, tc};

/// How often the maps are read back, and links and all objects looked at, though nothing has
/// happened.
const RESYNC: Duration = Duration::from_secs(10);
/// So much later at most, if it is never quiet.
const LATEST: Duration = Duration::from_secs(30);
/// After so long without an event it is quiet: time to sweep, and to try again what has failed.
const QUIET: Duration = Duration::from_secs(1);
/// What comes in a burst is done at once, but not for ever.
const BURST: usize = 4096;

/// What may happen.
#[derive(Debug)]
pub enum Event {
    /// Some objects are others, since then; and which revision of the manifests that makes.
    Changed(Instant, Which, u64),
    /// The filters of some veths may be others.
    Filters(Veths),
    /// The plugin has made an endpoint; it waits for the answer.
    Put(String, NewEndpoint, oneshot::Sender<Result<()>>),
    /// The plugin takes one away.
    Delete(String, oneshot::Sender<Result<()>>),
}

/// All that the agent knows, in one place: nobody else writes.
#[derive(Debug)]
pub struct Engine {
    stores: Stores,
    directory: Directory,
    local: Local,
    identities: Identities,
    wanted: Wanted,
    datapath: Datapath,
    filters: Filters,
    /// Veths whose filters are to be looked at.
    doubtful: Veths,
    waiting: Waiting,
    /// DELETEs that are answered when the maps are written.
    deleted: Vec<(oneshot::Sender<Result<()>>, Result<()>)>,
    behind_since: Option<Instant>,
    /// When to look around next.
    resync: Instant,
    /// Nothing has happened since the maps were swept.
    swept: bool,
    /// What was not as it should be when we looked around last.
    found: BTreeSet<String>,
    /// The same, where the kernel may not do what is wanted.
    faults: Option<String>,
    /// Of the manifests that were looked at.
    revision: u64,
    view: watch::Sender<View>,
    metrics: Metrics,
}

impl Engine {
    /// Takes over what an agent before us has left in `directory` and in the maps.
    pub fn new(
        node: String,
        stores: Stores,
        directory: &Path,
        grace: Duration,
        view: watch::Sender<View>,
        metrics: Metrics,
    ) -> Result<Self> {
        make_directory(directory)?;
        Ok(Self {
            stores,
            directory: Directory::default(),
            local: Local::load(directory.join("endpoints"))?,
            identities: Identities::load(directory.join("identities.json"), grace)?,
            wanted: Wanted::new(node),
            datapath: Datapath::open()?,
            filters: Filters::default(),
            doubtful: Veths::All,
            waiting: Waiting::default(),
            deleted: Vec::new(),
            behind_since: None,
            resync: Instant::now() + RESYNC,
            swept: false,
            found: BTreeSet::new(),
            faults: None,
            revision: 0,
            view,
            metrics,
        })
    }

    // #region run
    /// Runs until nobody can send events any more. To be called when the stores are ready.
    pub fn run(mut self, events: &Receiver<Event>, ready: impl FnOnce()) {
        self.look_around(); // whoever went while no agent was there
        self.reconcile();
        ready();
        loop {
            match events.recv_timeout(self.pause()) {
                Ok(event) => {
                    self.swept = false;
                    self.take(event);
                    events.try_iter().take(BURST).for_each(|event| self.take(event));
                }
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.resync + LATEST {
                self.resync();
            }
            self.reconcile();
        }
    }
    // #endregion run

    /// How long to wait for an event.
    fn pause(&self) -> Duration {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let resync = left(self.resync);
        let busy = !self.swept || self.wanted.claims.has_failed() || resync.is_zero();
        let pause = if busy { QUIET } else { resync };
        self.waiting.patience().map_or(pause, |patience| pause.min(left(patience)))
    }

    /// It is quiet: time for what would keep a change waiting.
    fn idle(&mut self) {
        if Instant::now() >= self.resync {
            self.resync();
        } else if !self.swept {
            self.swept = true;
            if let Err(error) = self.datapath.sweep() {
                tracing::error!("cannot sweep the maps: {error:#}");
            }
        }
    }

    /// Takes an event in.
    fn take(&mut self, event: Event) {
        match event {
            Event::Changed(since, which, revision) => {
                self.behind_since.get_or_insert(since);
                self.stores.look_at(&which, &mut self.directory);
                self.revision = self.revision.max(revision);
            }
            Event::Filters(veths) => self.doubtful.extend(veths),
            // The plugin has given up, and undone its part.
            Event::Put(_, _, answer) if answer.is_closed() => {}
            Event::Put(link, new, answer) => match self.local.insert(&link, new) {
                Ok(()) => self.waiting.push(link, answer),
                Err(error) => drop(answer.send(Err(error))),
            },
            Event::Delete(link, answer) => {
                let removed = self.local.remove(&link);
                self.deleted.push((answer, removed));
            }
        }
    }

    /// Finds out what we have heard nothing of.
    fn look_around(&mut self) {
        // First: what is in the reflectors by then is this revision, or a later one.
        let revision = self.stores.read.borrow().revision;
        self.stores.look_at(&Which::All, &mut self.directory);
        self.revision = self.revision.max(revision);
        let removed = self.local.remove_gone();
        self.found = removed.err().map(|error| format!("{error:#}")).into_iter().collect();
        // Identities that rest are shown as well, and those that do not any more are not.
        self.wanted.news.identities.extend(self.identities.iter().map(|(id, _)| id));
        self.wanted.news.identities.extend(self.view.borrow().identities.keys());
    }

    /// Nothing has happened, as far as we know. If something is not as it should be, it is looked
    /// at again soon.
    fn resync(&mut self) {
        self.look_around();
        self.identities.gc_unused(&self.wanted.claims.owners.identities(), SystemTime::now());
        let describe = |error: anyhow::Error| format!("{error:#}");
        let found = [self.identities.save(), self.ensure_forwarding()];
        self.found.extend(found.into_iter().filter_map(Result::err).map(describe));
        let maps = self.compare_maps().context("the maps cannot be compared with what is wanted");
        self.faults = maps.err().map(describe);
        self.doubtful = Veths::All;
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

    // #region reconcile
    /// Works in what is another, and writes what differs. What fails on the way keeps nothing
    /// else from being done.
    fn reconcile(&mut self) {
        let changes =
            self.wanted.update(&mut self.directory, &mut self.local, &mut self.identities);
        let problems = self.datapath.apply(&self.wanted, &changes);
        self.filters.mend(&std::mem::take(&mut self.doubtful), self.local.iter());
        if let Some(since) = self.behind_since.take() {
            self.metrics.caught_up(since);
        }
        self.tell(&changes, problems);
        for (answer, removed) in self.deleted.drain(..) {
            let _ = answer.send(removed); // the plugin may have given up
        }
        for refused in self.waiting.answer(&self.wanted, &self.datapath) {
            // The plugin will undo its part, so ours is forgotten too.
            if let Err(error) = self.local.remove(&refused) {
                tracing::error!("{error:#}");
            }
        }
    }
    // #endregion reconcile

    /// The view learns what is another. Each problem is logged once, and once more if it comes
    /// back.
    fn tell(&mut self, changes: &Changes, problems: Vec<String>) {
        let mut now = self.wanted.problems();
        let faults: BTreeSet<_> = problems.into_iter().chain(self.faults.clone()).collect();
        now.extend(faults.iter().chain(self.filters.faults().values()).cloned());
        now.extend(self.found.iter().cloned());
        now.extend(self.stores.problems.borrow().iter().cloned());
        for problem in now.difference(&self.view.borrow().problems) {
            tracing::warn!("{problem}");
        }
        if self.wanted.claims.has_failed() {
            self.metrics.failed();
        }
        self.view.send_modify(|view| {
            view.learn(changes, &self.wanted, &self.local, &self.identities);
            view.problems = now;
            view.unprotected = self.filters.faults().clone();
            view.is_sound = faults.is_empty() && view.unprotected.is_empty();
            view.sizes = self.datapath.sizes();
            view.revision = self.revision;
        });
        self.wanted.news = News::default();
    }
}
