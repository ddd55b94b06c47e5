//! The sets of ports and of blocks as the maps have them: contents by number.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use ipnet::Ipv4Net;

use crate::agent::policy::blocks::BlockSet;
use crate::agent::policy::ports::{PortSet, Range};
use crate::maps::{ALL_PORTS, BlockMap, NO_PORTS, PortMap};

/// Sets of ports by their numbers.
#[derive(Debug, Clone)]
pub struct PortSets(BTreeMap<u32, PortSet>);

impl PortSets {
    /// Reads `port_map`. Two numbers are in no map, and always the same.
    pub fn read(map: &PortMap) -> Result<Self> {
        let mut ranges: BTreeMap<u32, Vec<Range>> = BTreeMap::new();
        for key in map.keys() {
            let key = key.context("cannot read port_map")?;
            let (free, key) = (64 - key.prefix_len(), key.data());
            let first = u16::from_be_bytes(key.port);
            let last = first | ((1u32 << free.min(16)) - 1) as u16;
            ranges.entry(key.set).or_default().push(Range { proto: key.proto, first, last });
        }
        let sets = ranges.into_iter().map(|(set, ranges)| (set, PortSet::of(ranges)));
        let fixed = [(NO_PORTS, PortSet::NONE), (ALL_PORTS, PortSet::ALL)];
        Ok(Self(sets.chain(fixed).collect()))
    }

    /// What a number stands for, if it stands for anything.
    pub fn get(&self, set: u32) -> Option<PortSet> {
        self.0.get(&set).cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &PortSet)> {
        self.0.iter().map(|(set, ports)| (*set, ports))
    }
}

/// Reads `block_map`: sets of blocks by their numbers. `None`: it refers to ports that are not there.
pub fn block_sets(map: &BlockMap, ports: &PortSets) -> Result<BTreeMap<u32, Option<BlockSet>>> {
    let mut sets: BTreeMap<u32, Option<BlockSet>> = BTreeMap::new();
    for entry in map.iter() {
        let (key, its) = entry.context("cannot read block_map")?;
        let (bits, key) = (key.prefix_len() - 32, key.data());
        let net = Ipv4Net::new(key.address.into(), bits as u8)?;
        let set = sets.entry(key.set).or_insert_with(|| Some(BlockSet::new()));
        *set = set.take().zip(ports.get(its)).map(|(mut set, its)| {
            set.insert(net, its);
            set
        });
    }
    Ok(sets)
}
