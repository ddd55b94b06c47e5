//! One rule's peer: whom does it describe, and by how much does it miss another?

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

use super::blocks::Block;
use super::rule_ports::RulePorts;
use super::selector::Selector;
use crate::agent::objects::spec::{EgressRule, IngressRule, Peer, PolicyPort};
use crate::api::SecurityLabels;

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

/// What is read of a rule, in either direction.
#[derive(Debug)]
pub struct Said<'a> {
    /// `from` or `to`.
    field: &'static str,
    /// What stands there.
    peers: &'a [Peer],
    ports: &'a [PolicyPort],
    unknown: &'a Map<String, Value>,
}

impl<'a> From<&'a IngressRule> for Said<'a> {
    fn from(rule: &'a IngressRule) -> Self {
        let (peers, ports) = (rule.from.as_deref(), rule.ports.as_deref());
        Self {
            field: "from",
            peers: peers.unwrap_or_default(),
            ports: ports.unwrap_or_default(),
            unknown: &rule.unknown,
        }
    }
}

impl<'a> From<&'a EgressRule> for Said<'a> {
    fn from(rule: &'a EgressRule) -> Self {
        let (peers, ports) = (rule.to.as_deref(), rule.ports.as_deref());
        Self {
            field: "to",
            peers: peers.unwrap_or_default(),
            ports: ports.unwrap_or_default(),
            unknown: &rule.unknown,
        }
    }
}

/// Reads one rule of a policy in `namespace`: what is not understood is left out, so it grants
/// nothing.
pub fn read_rule(
    rule: &Said<'_>,
    at: &str,
    namespace: &str,
    rules: &mut Vec<Rule>,
    not_enforced: &mut Vec<String>,
) {
    let mut leave_out = |what: String| not_enforced.push(format!("{at}{what}"));
    if let Some(unknown) = rule.unknown.keys().next() {
        return leave_out(format!(": {unknown:?} is not known here"));
    }
    let ports = Arc::new(RulePorts::parse(rule.ports, &mut leave_out));
    if ports.is_nothing() {
        return;
    }
    if rule.peers.is_empty() {
        rules.push(Rule { at: at.into(), ports: ports.clone(), peers: Peers::Everybody });
    }
    for (index, peer) in rule.peers.iter().enumerate() {
        let place = format!(".{}[{index}]", rule.field);
        match read_peer(peer, namespace) {
            Ok(peers) => {
                rules.push(Rule { at: format!("{at}{place}"), ports: ports.clone(), peers });
            }
            Err(error) => leave_out(format!("{place}{error:#}")),
        }
    }
}

fn read_peer(peer: &Peer, namespace: &str) -> Result<Peers> {
    if let Some(unknown) = peer.unknown.keys().next() {
        bail!(": {unknown:?} is not known here");
    }
    let (pods, namespaces) = (&peer.pod_selector, &peer.namespace_selector);
    let has_selector = pods.is_some() || namespaces.is_some();
    if let Some(block) = &peer.ip_block {
        ensure!(!has_selector, ".ipBlock: stands beside a selector; each is a peer of its own");
        let block = Block::parse(block).map_err(|error| anyhow!(".ipBlock{error:#}"))?;
        return Ok(Peers::Block(block));
    }
    // Both absent: a peer of which nothing is understood is nobody, not everybody.
    ensure!(has_selector, ": says nothing");
    let namespaces = match namespaces {
        None => Namespaces::Own(namespace.into()),
        Some(some) => Namespaces::Selected(Selector::parse(some).context(".namespaceSelector")?),
    };
    let pods = Selector::parse_or_all(pods.as_ref()).context(".podSelector")?;
    Ok(Peers::Pods { namespaces, pods })
}
