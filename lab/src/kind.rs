//! The kinds of objects, and kubectl's words for them.

use std::str::FromStr;

use anyhow::{Result, bail};

/// The kinds of objects that a node here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A namespace, whose labels policies select by.
    Namespace,
    /// A network policy; only the agent understands it.
    NetworkPolicy,
    /// A pod.
    Pod,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Namespace, Self::NetworkPolicy, Self::Pod];

    /// What its manifests say as `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Pod => "Pod",
        }
    }

    /// What its manifests say as `apiVersion`.
    pub fn api_version(self) -> &'static str {
        if self == Self::NetworkPolicy { "networking.k8s.io/v1" } else { "v1" }
    }

    /// What kubectl calls one of them that it changes.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::NetworkPolicy => "networkpolicy.networking.k8s.io",
            Self::Pod => "pod",
        }
    }

    /// What kubectl calls several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::NetworkPolicy => "networkpolicies",
            Self::Pod => "pods",
        }
    }
}

/// A kind by one of the names that kubectl takes for it.
impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "namespace" | "namespaces" | "ns" => Self::Namespace,
            "networkpolicy" | "networkpolicies" | "netpol" => Self::NetworkPolicy,
            "pod" | "pods" | "po" => Self::Pod,
            _ => bail!("there are pods, namespaces and networkpolicies"),
        })
    }
}
