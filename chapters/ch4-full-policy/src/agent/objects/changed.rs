//! What a source reports: only where to look, so no decision rests on a single report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::key::Key;

/// Some objects may have changed.
#[derive(Debug)]
pub struct Changed {
    /// When the source heard of it.
    pub since: Instant,
    /// Which objects.
    pub which: Which,
    /// The revision of the manifests that contains the change; 0 from the API server.
    pub revision: u64,
}

/// Which objects may have changed.
#[derive(Debug)]
pub enum Which {
    /// Any: a list has come.
    All,
    /// No others.
    These(BTreeSet<Key>),
}

/// Takes reports, from any thread.
pub type Notify = Arc<dyn Fn(Changed) + Send + Sync>;
