//! The sets of ports and of blocks. A set is never edited: what has other contents is another set,
//! and a number is given once. So entries of `policy_map` may refer to a set before they count, and
//! programs may look into one that does not count any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aya::maps::MapError;
use ipnet::Ipv4Net;

use super::write::full;
use crate::agent::policy::blocks::BlockSet;
use crate::agent::policy::ports::{PortSet, prefixes};
use crate::agent::policy::verdicts::Allowed;
use crate::agent::reconcile::sets::{PortSets, block_sets};
use crate::maps::{
    self, ALL_PORTS, BlockMap, FIRST_SET, NO_PORTS, Policy, PortMap, block_key, is_absent, port_key,
};

/// The maps, and what is in them.
#[derive(Debug)]
pub(super) struct Sets {
    port_map: PortMap,
    block_map: BlockMap,
    ports: HashMap<PortSet, u32>,
    blocks: HashMap<Arc<BlockSet>, u32>,
    /// The last number that was given.
    last: u32,
}

impl Sets {
    /// Opens the maps.
    pub(super) fn open() -> Result<Self> {
        let (port_map, block_map) = (maps::port_map()?, maps::block_map()?);
        let (ports, blocks) = Default::default();
        Ok(Self { port_map, block_map, ports, blocks, last: FIRST_SET - 1 })
    }

    /// Reads the maps back. `used` are numbers that entries refer to.
    pub(super) fn compare(&mut self, used: impl Iterator<Item = Policy>) -> Result<()> {
        let ports = PortSets::read(&self.port_map)?;
        let blocks = block_sets(&self.block_map, &ports)?;
        let used = used.flat_map(|policy| [policy.ports, policy.blocks]);
        let numbers = ports.iter().map(|(set, _)| set).chain(blocks.keys().copied()).chain(used);
        self.last = numbers.max().unwrap_or_default().max(self.last);
        self.ports = ports.iter().map(|(set, ports)| (ports.clone(), set)).collect();
        let known = blocks.into_iter().filter_map(|(set, blocks)| Some((Arc::new(blocks?), set)));
        self.blocks = known.collect();
        Ok(())
    }

    /// The numbers of what a pair may, if it is all in the maps.
    pub(super) fn find(&self, allowed: &Allowed) -> Option<Policy> {
        let blocks = allowed.blocks.as_ref().map_or(Some(&0), |blocks| self.blocks.get(blocks));
        Some(Policy { ports: self.find_ports(&allowed.ports)?, blocks: *blocks? })
    }

    fn find_ports(&self, ports: &PortSet) -> Option<u32> {
        self.ports.get(ports).copied()
    }

    // #region write
    /// Sees to it that what a pair may is in the maps. Returns its numbers.
    pub(super) fn write(&mut self, allowed: &Allowed) -> Result<Policy> {
        let ports = self.write_ports(&allowed.ports)?;
        let Some(blocks) = &allowed.blocks else { return Ok(Policy { ports, blocks: 0 }) };
        if let Some(set) = self.blocks.get(blocks) {
            return Ok(Policy { ports, blocks: *set });
        }
        let set = self.next()?;
        let key =
            |net: &Ipv4Net| block_key(set, net.network().octets(), u32::from(net.prefix_len()));
        for (net, its) in blocks.iter() {
            let written = self.write_ports(its).and_then(|its| {
                let written = self.block_map.insert(&key(net), its, 0);
                written.map_err(|error| full("block_map", error))
            });
            if let Err(error) = written {
                // Nobody refers to it, and others have use for the room.
                blocks.keys().for_each(|net| drop(self.block_map.remove(&key(net))));
                return Err(error);
            }
        }
        self.blocks.insert(blocks.clone(), set);
        Ok(Policy { ports, blocks: set })
    }

    fn write_ports(&mut self, ports: &PortSet) -> Result<u32> {
        if let Some(set) = self.find_ports(ports) {
            return Ok(set);
        }
        let set = self.next()?;
        let keys = ports.ranges().iter().flat_map(|range| {
            prefixes(*range).map(|(port, bits)| port_key(set, range.proto, port, bits))
        });
        for key in keys.clone() {
            if let Err(error) = self.port_map.insert(&key, 1, 0) {
                keys.for_each(|key| drop(self.port_map.remove(&key))); // as above
                return Err(full("port_map", error));
            }
        }
        self.ports.insert(ports.clone(), set);
        Ok(set)
    }
    // #endregion write

    fn next(&mut self) -> Result<u32> {
        let next = self.last.checked_add(1);
        self.last = next.with_context(|| {
            format!("the numbers of port_map are at their end; run: rm -r {}", maps::GLOBALS)
        })?;
        Ok(self.last)
    }

    /// Are there more sets than these?
    pub(super) fn has_unused(&self, used: impl Iterator<Item = Policy>) -> bool {
        let (ports, blocks) = self.used(used);
        self.ports.values().any(|set| !ports.contains(set))
            || self.blocks.values().any(|set| !blocks.contains(set))
    }

    /// Removes all sets but these. To be called when no program can be looking into another one.
    pub(super) fn sweep(&mut self, used: impl Iterator<Item = Policy>) -> Result<()> {
        let (ports, blocks) = self.used(used);
        self.blocks.retain(|_, set| blocks.contains(set));
        self.ports.retain(|_, set| ports.contains(set));
        let keys = self.block_map.keys().collect::<Result<Vec<_>, _>>()?;
        for key in keys.iter().filter(|key| !blocks.contains(&{ key.data().set })) {
            ignore_absent(self.block_map.remove(key)).context("block_map")?;
        }
        let keys = self.port_map.keys().collect::<Result<Vec<_>, _>>()?;
        for key in keys.iter().filter(|key| !ports.contains(&{ key.data().set })) {
            ignore_absent(self.port_map.remove(key)).context("port_map")?;
        }
        Ok(())
    }

    /// The numbers in use: sets of ports, those of blocks among them, and sets of blocks.
    fn used(&self, used: impl Iterator<Item = Policy>) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let (mut ports, mut blocks) = (BTreeSet::from([NO_PORTS, ALL_PORTS]), BTreeSet::new());
        for policy in used {
            ports.insert(policy.ports);
            blocks.insert(policy.blocks);
        }
        for (contents, _) in self.blocks.iter().filter(|(_, set)| blocks.contains(set)) {
            ports.extend(contents.values().filter_map(|its| self.find_ports(its)));
        }
        (ports, blocks)
    }
}

pub(super) fn ignore_absent(removed: Result<(), MapError>) -> Result<()> {
    match removed {
        Err(error) if !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
