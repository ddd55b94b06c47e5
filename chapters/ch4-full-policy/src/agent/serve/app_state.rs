//! What the handlers of requests need.

use std::path::PathBuf;
use std::sync::mpsc;

use tokio::sync::watch;

use super::ring_buffer::Monitor;
use crate::agent::objects::stores::Snapshot;
use crate::agent::reconcile::counters::Counters;
use crate::agent::reconcile::message::Message;
use crate::agent::reconcile::view::View;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct AppState {
    /// To the engine.
    pub engine: mpsc::Sender<Message>,
    /// From the engine.
    pub view: watch::Receiver<View>,
    /// From the source, if that is a directory of manifests.
    pub snapshot: watch::Receiver<Snapshot>,
    /// Where Services are looked for; `None`: at the API server.
    pub manifests: Option<PathBuf>,
    /// From the kernel.
    pub monitor: Monitor,
    /// Set when the maps are true.
    pub ready: watch::Receiver<bool>,
    /// What the engine counts.
    pub counters: Counters,
}

impl AppState {
    /// A copy of the view, for what takes its time.
    pub fn copy(&self) -> View {
        self.view.borrow().clone()
    }
}
