//! The objects, wherever they come from: three reflectors, which the sources fill.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use super::changed::Which;
use super::directory::{Directory, Known, Objects};
use super::key::{Key, Kind};
use super::kinds::{Namespace, NetworkPolicy, Pod};

/// What has been read of a directory of manifests. The reflectors hold it already.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts on each time that something has been read.
    pub revision: u64,
    /// Each file as it was then: see [`stamp`](super::manifest::stamp).
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
    pub snapshot: watch::Receiver<Snapshot>,
    /// Held while objects change that change together.
    pub write_lock: WriteLock,
}

/// A lock on the reflectors. A source that writes several objects holds it until it has reported them.
#[derive(Debug, Clone, Default)]
pub struct WriteLock(Arc<Mutex<()>>);

impl WriteLock {
    /// Waits until nobody else has it.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards no data of its own: nothing is broken by who has panicked with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stores {
    /// Returns when all three are listed: before that nothing is decided.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.pods.wait_until_ready().await.context("pods")?;
        self.namespaces.wait_until_ready().await.context("namespaces")?;
        self.policies.wait_until_ready().await.context("policies")
    }

    /// Looks at objects as they are at this moment.
    pub fn look_at(&self, which: &Which, directory: &mut Directory) {
        let _unchanged = self.write_lock.lock();
        match which {
            Which::All => directory.set_all(&Objects {
                pods: self.pods.state(),
                namespaces: self.namespaces.state(),
                policies: self.policies.state(),
            }),
            Which::These(keys) => keys.iter().for_each(|key| match key.kind {
                Kind::Pod => look(&self.pods, key, &mut directory.pods),
                Kind::Namespace => look(&self.namespaces, key, &mut directory.namespaces),
                Kind::NetworkPolicy => look(&self.policies, key, &mut directory.policies),
            }),
        }
    }
}

fn look<K>(store: &Store<K>, key: &Key, known: &mut Known<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let mut reference = ObjectRef::new(key.name.as_deref().unwrap_or_default());
    reference.namespace = key.namespace.clone();
    known.set(&key.full_name(), store.get(&reference).as_ref());
}
