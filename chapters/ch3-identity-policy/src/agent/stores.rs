//! The objects, wherever they come from: three reflectors, which the sources fill.

use std::collections::BTreeSet;
use std::hash::Hash;

use anyhow::{Context as _, Result};
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use super::directory::{Directory, Known, Objects};
use super::objects::{Key, Kind, Namespace, NetworkPolicy, Pod};

/// Which objects may be others.
#[derive(Debug)]
pub enum Which {
    /// Any: a list has come.
    All,
    /// No others.
    These(BTreeSet<Key>),
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
