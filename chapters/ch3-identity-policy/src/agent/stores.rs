//! The objects, wherever they come from: three reflectors, which the sources fill.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use kube::runtime::reflector::Store;
use tokio::sync::watch;

use super::objects::{Namespace, NetworkPolicy, Pod};
use super::wanted::Objects;

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
        Objects {
            pods: self.pods.state(),
            namespaces: self.namespaces.state(),
            policies: self.policies.state(),
            problems: self.problems.borrow().clone(),
        }
    }
}
