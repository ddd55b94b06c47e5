//! The loop: whatever has happened, find out what is wanted and write what differs. It runs in a
//! thread of its own, and may wait for the kernel and for files as long as they take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::counters::Counters;
use super::datapath::Datapath;
use super::filters::{Filters, Veths};
use super::message::Message;
use super::view::View;
use super::waiting::Waiting;
use super::wanted::{ViewChanges, Wanted};
use crate::agent::files::make_directory;
use crate::agent::objects::changed::Changed;
use crate::agent::objects::directory::Directory;
use crate::agent::objects::stores::Stores;
use crate::agent::owners::identity::Identities;
use crate::agent::owners::local::LocalEndpoints;

mod quiet;
use quiet::{LATEST, RESYNC};

/// What comes in a burst is done at once, but not for ever.
const BURST: usize = 4096;

/// All that the agent knows, in one place: nobody else writes.
#[derive(Debug)]
pub struct Engine {
    stores: Stores,
    directory: Directory,
    local: LocalEndpoints,
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
    counters: Counters,
}

impl Engine {
    /// Takes over what an agent before us has left in `directory` and in the maps.
    pub fn new(
        node: String,
        stores: Stores,
        directory: &Path,
        rest: Duration,
        view: watch::Sender<View>,
        counters: Counters,
    ) -> Result<Self> {
        make_directory(directory)?;
        Ok(Self {
            stores,
            directory: Directory::default(),
            local: LocalEndpoints::load(directory.join("endpoints"))?,
            identities: Identities::load(directory.join("identities.json"), rest)?,
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
            counters,
        })
    }

    // #region run
    /// Runs until nobody can send messages any more. To be called when the stores are ready.
    pub fn run(mut self, messages: &Receiver<Message>, ready: impl FnOnce()) {
        self.look_around(); // pods may have gone while no agent was there
        // Another chapter's programs read its own policy_map until ours are in their place.
        self.wanted.hold(self.datapath.numbers_of_another_chapter());
        self.reconcile();
        self.wanted.hold(BTreeMap::new());
        self.reconcile();
        ready();
        loop {
            match messages.recv_timeout(self.pause()) {
                Ok(message) => {
                    self.swept = false;
                    self.take(message);
                    messages.try_iter().take(BURST).for_each(|message| self.take(message));
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

    /// Takes a message in.
    fn take(&mut self, message: Message) {
        match message {
            Message::Objects(Changed { since, which, revision }) => {
                self.behind_since.get_or_insert(since);
                self.stores.look_at(&which, &mut self.directory);
                self.revision = self.revision.max(revision);
            }
            Message::Filters(veths) => self.doubtful.extend(veths),
            // The plugin has given up, and undone its part.
            Message::Put(_, _, answer) if answer.is_closed() => {}
            Message::Put(link, new, answer) => {
                // Its bridge may be one that nobody watches yet.
                self.doubtful.extend(Veths::These([new.ifindex].into()));
                match self.local.insert(&link, new) {
                    Ok(()) => self.waiting.push(link, answer),
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
            Message::Delete(link, answer) => {
                let removed = self.local.remove(&link);
                self.deleted.push((answer, removed));
            }
        }
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
            self.counters.caught_up(since);
        }
        self.update_view(&changes, problems);
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
    fn update_view(&mut self, changes: &Changes, problems: Vec<String>) {
        let mut now = self.wanted.problems();
        let faults: BTreeSet<_> = problems.into_iter().chain(self.faults.clone()).collect();
        now.extend(faults.iter().chain(self.filters.faults().values()).cloned());
        now.extend(self.found.iter().cloned());
        now.extend(self.stores.problems.borrow().iter().cloned());
        for problem in now.difference(&self.view.borrow().problems) {
            tracing::warn!("{problem}");
        }
        if self.wanted.claims.has_failed() || !faults.is_empty() {
            self.counters.errors.inc();
        }
        self.view.send_modify(|view| {
            view.learn(changes, &self.wanted, &self.local, &self.identities);
            view.problems = now;
            view.unprotected = self.filters.faults().clone();
            view.is_sound = faults.is_empty() && view.unprotected.is_empty();
            view.sizes = self.datapath.sizes();
            view.revision = self.revision;
        });
        self.wanted.for_view = ViewChanges::default();
    }
}
