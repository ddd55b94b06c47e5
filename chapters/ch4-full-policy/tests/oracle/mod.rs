//! What NetworkPolicies mean with ports, names, blocks and egress: as chapter 3's, a naive search
//! through the objects' JSON that shares nothing with the agent.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

#[path = "../../../ch3-identity-policy/tests/oracle/mod.rs"]
mod chapter3;
pub mod random;

use std::net::Ipv4Addr;

pub use chapter3::{Host, Labels, World, list, namespace};
use serde_json::Value;

/// Who is at an end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    Pod(&'a str),
    /// No pod: somebody outside, or as a target the node.
    Other(Ipv4Addr),
}

/// Protocol and port; `None`: a protocol without ports, ICMP.
pub type Port<'a> = Option<(&'a str, u16)>;

/// A connection.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub from: End<'a>,
    pub to: End<'a>,
    pub port: Port<'a>,
    /// The source address that the target sees.
    pub seen: Ipv4Addr,
}

impl World {
    /// May this connection be opened?
    pub fn permits(&self, from: End<'_>, to: End<'_>, port: Port<'_>) -> bool {
        self.permits_seen(&Question { from, to, port, seen: self.address(from) })
    }

    /// The same, if the target sees another address than the source's: the node's, in its stead.
    pub fn permits_seen(&self, it: &Question<'_>) -> bool {
        // 69: over `lo`, where nobody looks.
        it.from == it.to || (self.side("Egress", it) && self.side("Ingress", it))
    }

    /// 1, 6, 8: what the policies of one end say.
    fn side(&self, direction: &str, it: &Question<'_>) -> bool {
        let End::Pod(subject) = (if direction == "Egress" { it.from } else { it.to }) else {
            return true;
        };
        let policies = self.isolating(subject, direction);
        let rules = |spec: &'_ Value| list(&spec[direction.to_lowercase()]).to_vec();
        policies.is_empty()
            || policies.iter().any(|(of, spec)| {
                rules(spec).iter().any(|rule| self.rule_permits(of, rule, direction, it))
            })
    }

    /// 11, 12
    fn rule_permits(&self, of: &str, rule: &Value, direction: &str, it: &Question<'_>) -> bool {
        let (field, peer, address) = match direction {
            "Egress" => ("to", it.to, self.address(it.to)),
            _ => ("from", it.from, it.seen),
        };
        let ports = list(&rule["ports"]);
        let peers = list(&rule[field]);
        if peers.is_empty() {
            return self.has_port(ports, it, true);
        }
        peers.iter().any(|selector| {
            let block = &selector["ipBlock"];
            if !block.is_null() {
                // 34: who is meant by address has no names, as a target.
                return is_in_block(block, address) && self.has_port(ports, it, field == "from");
            }
            let End::Pod(pod) = peer else { return false };
            self.is_peer(of, selector, pod) && self.has_port(ports, it, true)
        })
    }

    /// 13 to 34
    fn has_port(&self, ports: &[Value], it: &Question<'_>, by_name: bool) -> bool {
        if ports.is_empty() {
            return true;
        }
        let Some((protocol, number)) = it.port else { return false };
        ports.iter().any(|item| {
            let is_port = match &item["port"] {
                Value::Null => true,
                Value::String(name) => by_name && self.has_name(it.to, name, protocol, number),
                first => {
                    let first = first.as_u64().unwrap();
                    let last = item["endPort"].as_u64().unwrap_or(first);
                    (first..=last).contains(&number.into())
                }
            };
            item["protocol"].as_str().unwrap_or("TCP") == protocol && is_port
        })
    }

    fn has_name(&self, target: End<'_>, name: &str, protocol: &str, number: u16) -> bool {
        let End::Pod(pod) = target else { return false };
        self.hosts[pod]
            .ports
            .iter()
            .any(|(its, of, port)| its == name && *of == protocol && *port == number)
    }

    /// Where somebody is.
    pub fn address(&self, end: End<'_>) -> Ipv4Addr {
        match end {
            End::Pod(pod) => self.hosts[pod].address,
            End::Other(address) => address,
        }
    }
}

/// Where datagrams are sent to all the time.
pub const FLOW_PORTS: [u16; 2] = [80, 81];

/// May a datagram pass? `hidden`: with the node's address for its source.
pub fn lets_flow(world: &World, from: &str, to: &str, port: u16, hidden: bool) -> bool {
    let (from, to, port) = (End::Pod(from), End::Pod(to), Some(("UDP", port)));
    let seen = if hidden { random::GATEWAY } else { world.address(from) };
    world.permits_seen(&Question { from, to, port, seen })
}

/// 38, 39, 46
fn is_in_block(block: &Value, address: Ipv4Addr) -> bool {
    is_in(block["cidr"].as_str().unwrap(), address)
        && !list(&block["except"]).iter().any(|it| is_in(it.as_str().unwrap(), address))
}

/// Bit by bit.
pub fn is_in(cidr: &str, address: Ipv4Addr) -> bool {
    let (network, bits) = cidr.split_once('/').unwrap();
    let Ok(network) = network.parse::<Ipv4Addr>() else { return false };
    let bit = |address: Ipv4Addr, at: u32| u32::from(address) >> (31 - at) & 1;
    (0..bits.parse().unwrap()).all(|at| bit(network, at) == bit(address, at))
}
