//! What the kernel's maps say of a connection: the same look-ups as the programs'.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::explain::{FlowEnd, Wish};
use crate::agent::owners::identity::{HOST, WORLD};
use crate::agent::policy::ports::PortSet;
use crate::agent::reconcile::sets::PortSets;
use crate::maps::{
    self, BlockMap, Direction, EGRESS_ISOLATED, Policy, PolicyKey, PolicyMap, block_key, key,
};

/// What the maps say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// May it be?
    pub allowed: bool,
    /// If nobody asked for a port, and it is not all: by which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// Of the source, as `endpoint_map` has it.
    pub source_identity: u32,
    /// Of the destination.
    pub destination_identity: u32,
    /// The entries of `policy_map` that allow it, one for each direction that is asked.
    pub entries: Vec<Entry>,
}

/// An entry of `policy_map`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `Egress` or `Ingress`.
    pub direction: String,
    /// Of the source; 0: anybody.
    pub source: u32,
    /// Of the destination; 0: anybody.
    pub destination: u32,
    /// It is not for whom it is, but for where it is: by `block_map`.
    pub by_block: bool,
}

/// Looks up both ends and the pair, in both directions.
pub fn look_up(source: &FlowEnd, destination: &FlowEnd, wish: Option<Wish>) -> Result<Live> {
    // One epoch for all: a change may come meanwhile.
    let (epoch, endpoints) = (maps::epoch()?, maps::endpoint_map()?);
    let endpoint = |end: &FlowEnd| endpoints.get(&key(end.address?), 0).ok()?.versions.at(epoch);
    let (from, to) = (endpoint(source), endpoint(destination));
    // An end without an endpoint is the world, but for the node itself.
    let reserved = |end: &FlowEnd| if end.identity == HOST { HOST } else { WORLD };
    let source_identity = from.map_or(reserved(source), |endpoint| endpoint.identity);
    let destination_identity = to.map_or(reserved(destination), |endpoint| endpoint.identity);
    let mut live = Live {
        allowed: true,
        ports: None,
        source_identity,
        destination_identity,
        entries: Vec::new(),
    };
    let is_itself = source.address.is_some() && source.address == destination.address;
    if source_identity == HOST || is_itself {
        return Ok(live);
    }
    let maps = Maps {
        policies: maps::policy_map()?,
        blocks: maps::block_map()?,
        ports: PortSets::read(&maps::port_map()?)?,
        epoch,
        wish,
    };
    let mut ports = PortSet::ALL;
    if from.is_some_and(|endpoint| endpoint.flags & EGRESS_ISOLATED != 0) {
        let pair = (source_identity, destination_identity);
        let its = maps.allowed(Direction::Egress, pair, destination, &mut live.entries);
        ports = ports.common(&its);
    }
    if to.is_some() {
        let pair = (destination_identity, source_identity);
        let its = maps.allowed(Direction::Ingress, pair, source, &mut live.entries);
        ports = ports.common(&its);
    }
    live.allowed = match wish {
        Some(wish) => ports.has(wish.port.map(|port| (wish.protocol, port))),
        None => !ports.is_empty(),
    };
    if !live.allowed {
        live.entries.clear();
    }
    live.ports = (live.allowed && wish.is_none() && !ports.is_all()).then(|| ports.to_string());
    Ok(live)
}

struct Maps {
    policies: PolicyMap,
    blocks: BlockMap,
    ports: PortSets,
    epoch: u32,
    wish: Option<Wish>,
}

impl Maps {
    /// Whoever it is, who it is, where it is: by which ports? Of a wish, the first yes is enough.
    fn allowed(
        &self,
        direction: Direction,
        (subject, peer): (u32, u32),
        other: &FlowEnd,
        entries: &mut Vec<Entry>,
    ) -> PortSet {
        let anybody = PolicyKey::new(direction, subject, 0);
        let pair = PolicyKey::new(direction, subject, peer);
        let blocks = self.policy(&anybody).blocks;
        let block = other
            .address
            .filter(|_| blocks != 0)
            .and_then(|address| self.blocks.get(&block_key(blocks, address.octets(), 32), 0).ok());
        let candidates = [
            (anybody, self.policy(&anybody).ports, false),
            (pair, self.policy(&pair).ports, false),
            (anybody, block.unwrap_or_default(), true),
        ];
        let mut all = PortSet::NONE;
        for (key, ports, by_block) in candidates {
            let ports = self.ports.get(ports).unwrap_or(PortSet::NONE);
            let is_yes = match self.wish {
                Some(wish) => ports.has(wish.port.map(|port| (wish.protocol, port))),
                None => !ports.is_within(&all),
            };
            if is_yes {
                all.extend(&ports);
                entries.push(Entry {
                    direction: direction.as_str().into(),
                    source: key.src_id,
                    destination: key.dst_id,
                    by_block,
                });
            }
            if is_yes && self.wish.is_some() {
                break;
            }
        }
        all
    }

    fn policy(&self, key: &PolicyKey) -> Policy {
        let entry = self.policies.get(key, 0).ok();
        entry.and_then(|entry| entry.versions.at(self.epoch)).unwrap_or_default()
    }
}
