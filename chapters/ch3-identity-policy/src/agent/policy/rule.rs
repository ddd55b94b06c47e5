//! One rule's peer: which pods does it describe, and by how much does it miss another?

use std::fmt;

use anyhow::{Context as _, Result, bail};

use super::selector::Selector;
use crate::agent::objects::spec::{IngressRule, Peer};
use crate::api::SecurityLabels;

/// A peer of a rule, or a rule without peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: `spec.ingress[0].from[1]`.
    pub at: String,
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespaces {
    /// The policy's own.
    Own(String),
    Selected(Selector),
}

impl Rule {
    /// Does it let everybody in, pod or not?
    pub fn is_everybody(&self) -> bool {
        self.peers == Peers::Everybody
    }

    // #region describes
    /// Does it let pods with these labels in? An endpoint without a namespace is no pod.
    pub fn describes(&self, source: &SecurityLabels) -> bool {
        let Peers::Pods { namespaces, pods } = &self.peers else { return true };
        let in_namespace = match namespaces {
            Namespaces::Own(name) => source.namespace == *name,
            Namespaces::Selected(selector) => selector.matches(&source.namespace_labels),
        };
        !source.namespace.is_empty() && in_namespace && pods.matches(&source.labels)
    }
    // #endregion describes

    /// What keeps pods with these labels out, each part in words.
    pub fn unmet(&self, source: &SecurityLabels) -> Vec<String> {
        let Peers::Pods { namespaces, pods } = &self.peers else { return Vec::new() };
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
            Peers::Everybody => None,
            Peers::Pods { pods, .. } => Some(pods.keys()),
        };
        pods.into_iter().flatten()
    }
}

/// In words.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peers {
            Peers::Everybody => write!(f, "everybody"),
            Peers::Pods { namespaces: Namespaces::Own(name), pods } => {
                write!(f, "pods ({pods}) of namespace {name}")
            }
            Peers::Pods { namespaces: Namespaces::Selected(selector), pods } => {
                write!(f, "pods ({pods}) of namespaces ({selector})")
            }
        }
    }
}

/// Reads one rule of a policy in `namespace`: what cannot be enforced is left out, so it grants
/// nothing.
pub fn read_rule(
    rule: &IngressRule,
    at: &str,
    namespace: &str,
    rules: &mut Vec<Rule>,
    not_enforced: &mut Vec<String>,
) {
    let mut leave_out = |what: String| not_enforced.push(format!("{at}{what}"));
    if let Some(unknown) = rule.unknown.keys().next() {
        return leave_out(format!(": {unknown:?} is not known here"));
    }
    if rule.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return leave_out(".ports: a rule with ports grants nothing in this chapter".into());
    }
    let peers = rule.from.as_deref().unwrap_or_default();
    if peers.is_empty() {
        rules.push(Rule { at: at.into(), peers: Peers::Everybody });
    }
    for (index, peer) in peers.iter().enumerate() {
        match read_peer(peer, namespace) {
            Ok(peers) => rules.push(Rule { at: format!("{at}.from[{index}]"), peers }),
            Err(error) => leave_out(format!(".from[{index}]{error:#}")),
        }
    }
}

fn read_peer(peer: &Peer, namespace: &str) -> Result<Peers> {
    if let Some(unknown) = peer.unknown.keys().next() {
        bail!(": {unknown:?} is not known here");
    }
    if peer.ip_block.is_some() {
        bail!(".ipBlock: grants nothing in this chapter");
    }
    // Both absent: a peer of which nothing is understood is nobody, not everybody.
    let (pods, namespaces) = (&peer.pod_selector, &peer.namespace_selector);
    if pods.is_none() && namespaces.is_none() {
        bail!(": says nothing");
    }
    let namespaces = match namespaces {
        None => Namespaces::Own(namespace.into()),
        Some(some) => Namespaces::Selected(Selector::parse(some).context(".namespaceSelector")?),
    };
    let pods = Selector::parse_or_all(pods.as_ref()).context(".podSelector")?;
    Ok(Peers::Pods { namespaces, pods })
}
