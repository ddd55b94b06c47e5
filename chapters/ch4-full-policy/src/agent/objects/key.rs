//! By which objects are known.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `namespace/name`, or a namespace's name alone: many hold it, and it is there once.
pub type Name = Arc<str>;

/// The kinds of objects that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of all nodes.
    Pod,
    /// With its labels.
    Namespace,
    /// Understood or not.
    NetworkPolicy,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which kind.
    pub kind: Kind,
    /// A namespace is in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

impl Key {
    /// The key of an object of this kind.
    pub fn new(kind: Kind, metadata: &ObjectMeta) -> Self {
        Self { kind, namespace: metadata.namespace.clone(), name: metadata.name.clone() }
    }

    /// `namespace/name`, or the name of what is in no namespace.
    pub fn full_name(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.into(),
        }
    }
}
