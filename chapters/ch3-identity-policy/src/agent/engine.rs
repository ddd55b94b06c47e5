//! The loop: whatever has happened, compute what is wanted and write what differs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::datapath::Datapath;
use super::identity::Identities;
use super::local::Local;
use super::metrics::Metrics;
use super::stores::Stores;
use super::view::View;
use super::waiting::Waiting;
use super::wanted::{Wanted, wanted};
use crate::api::{EndpointStatus, NewEndpoint};

/// How often the maps are read back, and links looked after, though nothing has happened.
const RESYNC: Duration = Duration::from_secs(10);

/// What may happen.
#[derive(Debug)]
pub enum Event {
    /// Some object is another, since then.
    Changed(Instant),
    /// The plugin has made an endpoint; it waits for the answer.
    Put(String, NewEndpoint, oneshot::Sender<Result<EndpointStatus>>),
    /// The plugin takes one away.
    Delete(String, oneshot::Sender<Result<()>>),
}

/// All that the agent knows, in one place: nobody else writes.
#[allow(missing_debug_implementations, reason = "aya's Array has none")]
pub struct Engine {
    node: String,
    stores: Stores,
    local: Local,
    identities: Identities,
    datapath: Datapath,
    waiting: Waiting,
    behind_since: Option<Instant>,
    view: watch::Sender<Arc<View>>,
    metrics: Metrics,
    before: super::changes::Changes,
}

impl Engine {
    /// Takes over what an agent before us has left in `directory` and in the maps.
    pub fn new(
        node: String,
        stores: Stores,
        directory: &Path,
        grace: Duration,
        view: watch::Sender<Arc<View>>,
        metrics: Metrics,
    ) -> Result<Self> {
        Ok(Self {
            node,
            stores,
            local: Local::load(directory.join("endpoints"))?,
            identities: Identities::load(directory.join("identities.json"), grace)?,
            datapath: Datapath::open()?,
            waiting: Waiting::default(),
            behind_since: None,
            view,
            metrics,
            before: super::changes::Changes::default(),
        })
    }

    // #region run
    /// Runs until nobody can send events any more. To be called when the stores are ready.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, ready: oneshot::Sender<()>) {
        let mut ready = Some(ready);
        self.look_around(); // whoever went while no agent was there
        let mut resync = interval(RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let patience = self.waiting.patience();
            let first = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => Some(event),
                    None => return,
                },
                _ = resync.tick() => { self.look_around(); None }
                () = sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => None,
            };
            // What comes in a burst is done at once.
            let mut rest = std::iter::from_fn(|| events.try_recv().ok());
            let deleted: Vec<_> =
                first.into_iter().chain(&mut rest).filter_map(|it| self.take(it)).collect();
            let done = self.reconcile();
            if let Err(error) = &done {
                tracing::error!("cannot reconcile: {error:#}");
                self.metrics.failed();
                // What could not be written down is not published: these ADDs are tried again.
                let refused = self.waiting.refuse_all(error);
                self.forget(refused);
            }
            for answer in deleted {
                // The plugin may have given up.
                let _ = answer.send(done.as_ref().map_err(|error| anyhow!("{error:#}")).copied());
            }
            if done.is_ok()
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
        }
    }
    // #endregion run

    /// Takes an event in. DELETE is answered when the maps are written.
    fn take(&mut self, event: Event) -> Option<oneshot::Sender<Result<()>>> {
        match event {
            Event::Changed(since) => {
                self.behind_since.get_or_insert(since);
                None
            }
            Event::Put(link, new, answer) => {
                match self.local.insert(&link, new) {
                    Ok(()) => self.waiting.push(link, answer),
                    Err(error) => drop(answer.send(Err(error))),
                }
                None
            }
            Event::Delete(link, answer) => match self.local.remove(&link) {
                Ok(()) => Some(answer),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    None
                }
            },
        }
    }

    /// Nothing has happened, as far as we know.
    fn look_around(&mut self) {
        let reopened = self.datapath.compare().and_then(|()| self.datapath.sweep());
        if let Err(error) = reopened.and_then(|()| self.local.remove_gone()) {
            tracing::error!("{error:#}");
        }
    }

    // #region reconcile
    fn reconcile(&mut self) -> Result<()> {
        let objects = self.stores.objects();
        let mut wanted = wanted(&objects, &self.node, &mut self.local, &mut self.identities)?;
        let used = wanted.endpoints.values().map(|endpoint| endpoint.identity).collect();
        self.identities.gc_unused(&used, SystemTime::now());
        self.identities.save()?; // a number in a map must not be forgotten
        let problems = self.datapath.apply(&wanted, &super::changes::Changes { endpoints: wanted.endpoints.keys().chain(self.before.endpoints.iter()).copied().collect(), policy: wanted.policy.iter().chain(self.before.policy.iter()).copied().collect() });
        wanted.problems.extend(problems);
        self.before = super::changes::Changes { endpoints: wanted.endpoints.keys().copied().collect(), policy: wanted.policy.clone() };
        if let Some(since) = self.behind_since.take() {
            self.metrics.caught_up(since.into_std());
        }
        self.tell(&wanted, objects.revision);
        let refused = self.waiting.answer(&wanted, &self.datapath);
        self.forget(refused);
        Ok(())
    }
    // #endregion reconcile

    /// Each problem is logged once, and once more if it comes back.
    fn tell(&mut self, wanted: &Wanted, revision: u64) {
        let before = self.view.borrow().problems.clone();
        for problem in wanted.problems.difference(&before) {
            tracing::warn!("{problem}");
        }
        self.view.send_replace(Arc::new(View {
            endpoints: wanted.status.clone(),
            identities: self.identities.status(),
            problems: wanted.problems.clone(),
            pods: wanted.pods.clone(),
            labels: wanted.labels.clone(),
            policies: wanted.policies.clone(),
            revision,
            sizes: self.datapath.sizes(),
        }));
    }

    /// The plugin will undo its part of a refused ADD, so ours is forgotten too.
    fn forget(&mut self, links: Vec<String>) {
        for link in links {
            if let Err(error) = self.local.remove(&link) {
                tracing::error!("{error:#}");
            }
        }
    }
}
