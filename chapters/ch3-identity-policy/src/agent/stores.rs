//! The objects, wherever they come from: three reflectors, which the sources fill.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use kube::runtime::reflector::Store;
use tokio::sync::watch;

use super::objects::{Namespace, NetworkPolicy, Pod};
use super::wanted::Objects;

/// What has been read of a directory of manifests. The reflectors hold it already.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// Counts on each time that something has been read.
    pub revision: u64,
    /// Each file as it was then: see [`manifests::stamp`](super::manifests::stamp).
    pub files: BTreeMap<String, String>,
}

/// The objects as the reflectors hold them.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Of pods.
    pub pods: Store<Pod>,
    /// Of namespaces.
    pub namespaces: Store<Namespace>,
    /// Of policies.
    pub policies: Store<NetworkPolicy>,
    /// What of the source cannot be read at this moment.
    pub problems: watch::Receiver<BTreeSet<String>>,
    /// What has been read, if the source is a directory.
    pub read: watch::Receiver<Read>,
}

impl Stores {
    /// Returns when all three are listed: before that nothing is decided.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.pods.wait_until_ready().await.context("pods")?;
        self.namespaces.wait_until_ready().await.context("namespaces")?;
        self.policies.wait_until_ready().await.context("policies")
    }

    /// All there are at this moment.
    pub fn objects(&self) -> Objects {
        // First: what is in the reflectors by then is this revision, or a later one.
        let revision = self.read.borrow().revision;
        Objects {
            revision,
            pods: self.pods.state(),
            namespaces: self.namespaces.state(),
            policies: self.policies.state(),
            problems: self.problems.borrow().clone(),
        }
    }
}
