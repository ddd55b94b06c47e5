//! One rule's peer: whom does it describe, and by how much does it miss another?

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::blocks::Block;
use super::rule_ports::RulePorts;
use super::selector::Selector;
use crate::api::SecurityLabels;

pub mod read;

/// A peer of a rule, or a rule without peers, with the rule's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: `spec.ingress[0].from[1]`.
    pub at: String,
    /// By which ports.
    pub ports: Arc<RulePorts>,
    peers: Peers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Peers {
    /// Pod or not.
    Everybody,
    Pods {
        namespaces: Namespaces,
        pods: Selector,
    },
    Block(Block),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespaces {
    /// The policy's own.
    Own(String),
    Selected(Selector),
}

impl Rule {
    /// Is it about everybody, pod or not?
    pub fn is_everybody(&self) -> bool {
        self.peers == Peers::Everybody
    }

    /// Is it about addresses? Which?
    pub fn block(&self) -> Option<&Block> {
        match &self.peers {
            Peers::Block(block) => Some(block),
            _ => None,
        }
    }

    /// Is it about pods, by their labels?
    pub fn is_selector(&self) -> bool {
        matches!(self.peers, Peers::Pods { .. })
    }

    // #region describes
    /// Is it about pods with these labels, by their labels? An endpoint without a namespace is no
    /// pod.
    pub fn describes(&self, peer: &SecurityLabels) -> bool {
        match &self.peers {
            Peers::Everybody => true,
            Peers::Block(_) => false,
            Peers::Pods { namespaces, pods } => {
                let in_namespace = match namespaces {
                    Namespaces::Own(name) => peer.namespace == *name,
                    Namespaces::Selected(selector) => selector.matches(&peer.namespace_labels),
                };
                !peer.namespace.is_empty() && in_namespace && pods.matches(&peer.labels)
            }
        }
    }
    // #endregion describes

    /// What keeps it from being about this end, each part in words.
    pub fn unmet(&self, source: &SecurityLabels, address: Option<Ipv4Addr>) -> Vec<String> {
        let (namespaces, pods) = match &self.peers {
            Peers::Everybody => return Vec::new(),
            Peers::Block(block) => return unmet_block(block, address),
            Peers::Pods { namespaces, pods } => (namespaces, pods),
        };
        if source.namespace.is_empty() {
            return vec!["selectors are for pods, and it is none".into()];
        }
        let mut unmet = match namespaces {
            Namespaces::Own(name) if source.namespace != *name => {
                vec![format!("its namespace must be {name}, and is {}", source.namespace)]
            }
            Namespaces::Own(_) => Vec::new(),
            Namespaces::Selected(selector) => {
                let unmet = selector.unmet(&source.namespace_labels).into_iter();
                unmet.map(|requirement| format!("its namespace's {requirement}")).collect()
            }
        };
        unmet.extend(
            pods.unmet(&source.labels).into_iter().map(|requirement| format!("its {requirement}")),
        );
        unmet
    }

    /// The labels of pods that it asks about.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let pods = match &self.peers {
            Peers::Pods { pods, .. } => Some(pods.keys()),
            _ => None,
        };
        pods.into_iter().flatten()
    }
}

/// In words.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peers {
            Peers::Everybody => write!(f, "everybody"),
            Peers::Block(block) => write!(f, "{block}"),
            Peers::Pods { namespaces: Namespaces::Own(name), pods } => {
                write!(f, "pods ({pods}) of namespace {name}")
            }
            Peers::Pods { namespaces: Namespaces::Selected(selector), pods } => {
                write!(f, "pods ({pods}) of namespaces ({selector})")
            }
        }
    }
}

fn unmet_block(block: &Block, address: Option<Ipv4Addr>) -> Vec<String> {
    let Some(address) = address else { return vec![format!("its address must be in {block}")] };
    match block.exception(address) {
        _ if block.has(address) => Vec::new(),
        Some(except) => vec![format!("its address {address} is in the except {except}")],
        None => vec![format!("its address must be in {block}, and is {address}")],
    }
}
