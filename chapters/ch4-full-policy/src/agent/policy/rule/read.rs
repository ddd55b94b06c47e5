//! What is read of a rule, in either direction.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

use super::{Namespaces, Peers, Rule};
use crate::agent::objects::spec::{Peer, PolicyPort};
use crate::agent::policy::blocks::Block;
use crate::agent::policy::rule_ports::RulePorts;
use crate::agent::policy::selector::Selector;

/// Reads a policy's rules. What is not understood is left out, so it grants nothing.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The policy's.
    pub namespace: &'a str,
    /// What is left out, and why.
    pub not_enforced: Vec<String>,
}

impl Reader<'_> {
    /// Reads the rule that stands at `at`. Its peers stand in `field`: `from` or `to`.
    pub fn read(
        &mut self,
        at: &str,
        field: &str,
        peers: &Option<Vec<Peer>>,
        ports: &Option<Vec<PolicyPort>>,
        unknown: &Map<String, Value>,
    ) -> Vec<Rule> {
        let mut leave_out = |what: String| self.not_enforced.push(format!("{at}{what}"));
        if let Some(unknown) = unknown.keys().next() {
            leave_out(format!(": {unknown:?} is not known here"));
            return Vec::new();
        }
        let ports = RulePorts::parse(ports.as_deref().unwrap_or_default(), &mut leave_out);
        if ports.is_nothing() {
            return Vec::new();
        }
        let ports = Arc::new(ports);
        let peers = peers.as_deref().unwrap_or_default();
        if peers.is_empty() {
            return vec![Rule { at: at.into(), ports, peers: Peers::Everybody }];
        }
        let mut rules = Vec::new();
        for (index, peer) in peers.iter().enumerate() {
            let place = format!(".{field}[{index}]");
            match read_peer(peer, self.namespace) {
                Ok(peers) => {
                    rules.push(Rule { at: format!("{at}{place}"), ports: ports.clone(), peers });
                }
                Err(error) => leave_out(format!("{place}{error:#}")),
            }
        }
        rules
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
