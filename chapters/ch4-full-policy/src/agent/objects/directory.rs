//! The objects as the engine has them, by name, and which of them are others since it looked last.

use std::collections::btree_map::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use kube::Resource;

use super::key::{Key, Kind, Name};
use super::kinds::{Namespace, NetworkPolicy, Pod};
use crate::api::SecurityLabels;

/// All objects of a source at one moment.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// All pods of the cluster.
    pub pods: Vec<Arc<Pod>>,
    /// All namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// All policies.
    pub policies: Vec<Arc<NetworkPolicy>>,
}

/// Objects of one kind by name.
#[derive(Debug)]
pub struct Known<K> {
    objects: BTreeMap<Name, Arc<K>>,
    changed: BTreeSet<Name>,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<K> Known<K> {
    /// One object.
    pub fn get(&self, name: &str) -> Option<&Arc<K>> {
        self.objects.get(name)
    }

    // #region known
    /// An object as it is now; `None`: it is gone. A reflector puts a new allocation in the place
    /// of what it had: the same pointer is the same object, and nothing of it is read again.
    pub fn set(&mut self, name: &str, now: Option<&Arc<K>>) {
        let before = self.objects.get_key_value(name);
        let is_same = match (before, now) {
            (Some((_, before)), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if is_same {
            return;
        }
        let name = before.map_or_else(|| name.into(), |(name, _)| name.clone());
        match now {
            Some(now) => self.objects.insert(name.clone(), now.clone()),
            None => self.objects.remove(&name),
        };
        self.changed.insert(name);
    }
    // #endregion known

    /// All objects as they are now.
    fn set_all(&mut self, kind: Kind, all: &[Arc<K>])
    where
        K: Resource,
    {
        let name = |object: &Arc<K>| Key::new(kind, object.meta()).full_name();
        for object in all {
            self.set(&name(object), Some(object));
        }
        if self.objects.len() > all.len() {
            let there: BTreeSet<_> = all.iter().map(name).collect();
            let is_gone = |name: &&Name| !there.contains(&***name);
            let gone: Vec<_> = self.objects.keys().filter(is_gone).cloned().collect();
            gone.iter().for_each(|name| self.set(name, None));
        }
    }

    /// The names of those that are others than when somebody asked last.
    pub fn take_changed(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.changed)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<K>)> {
        self.objects.iter()
    }

    /// Those of a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Range<'_, Name, Arc<K>> {
        of_namespace(&self.objects, namespace)
    }
}

/// The part of a map by `namespace/name` that belongs to one namespace.
pub fn of_namespace<'a, V>(map: &'a BTreeMap<Name, V>, namespace: &str) -> Range<'a, Name, V> {
    // '0' comes next to '/'.
    let (first, end) = (format!("{namespace}/"), format!("{namespace}0"));
    map.range::<str, _>((Included(first.as_str()), Excluded(end.as_str())))
}

/// All objects.
#[derive(Debug, Default)]
pub struct Directory {
    /// Of all nodes.
    pub pods: Known<Pod>,
    /// By their names alone.
    pub namespaces: Known<Namespace>,
    /// As they were read.
    pub policies: Known<NetworkPolicy>,
}

impl Directory {
    /// Takes in all that there is. What is missing in it is gone.
    pub fn set_all(&mut self, objects: &Objects) {
        self.pods.set_all(Kind::Pod, &objects.pods);
        self.namespaces.set_all(Kind::Namespace, &objects.namespaces);
        self.policies.set_all(Kind::NetworkPolicy, &objects.policies);
    }

    /// A pod's labels with its namespace's; `None` while that is not known.
    pub fn labels_of(&self, pod: &Pod) -> Option<SecurityLabels> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let its = self.namespaces.get(&namespace)?;
        let mut namespace_labels = its.metadata.labels.clone().unwrap_or_default();
        // The API server sees to it; a manifest may not.
        namespace_labels.insert("kubernetes.io/metadata.name".into(), namespace.clone());
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let ports = pod.named_ports().collect();
        Some(SecurityLabels { namespace, namespace_labels, labels, ports })
    }
}
