//! Who may talk to whom: that each chapter writes in its own way.

use anyhow::{Result, ensure};
use ch3_identity_policy as ch3;
use ch3_identity_policy::maps::PolicyKey;
use ch4_full_policy::maps::{
    self as ch4, ALL_PORTS, BlockMap, Direction, FIRST_SET, NO_PORTS, Policy, PolicyEntry, PortMap,
    Versions,
};

use super::maps::{GUARDED, ISOLATED, SERVER, WORLD};

/// A chapter's `policy_map`, written by hand.
pub trait Pairs: Send + Sync {
    /// Lets a pair talk, if it may not yet.
    fn allow(&mut self, pair: PolicyKey) -> Result<()>;
    /// How many entries there are.
    fn count(&self) -> usize;
    /// The packets that a pair's entry has let through.
    fn packets(&self, pair: &PolicyKey) -> Result<u64>;
}

/// Chapter 3's.
pub struct Identities(ch3::maps::PolicyMap);

impl Identities {
    /// With nobody in it. To be called inside the node.
    pub fn open() -> Result<Box<dyn Pairs>> {
        let mut map = ch3::maps::policy_map()?;
        for key in map.keys().collect::<Result<Vec<_>, _>>()? {
            map.remove(&key)?;
        }
        Ok(Box::new(Self(map)))
    }
}

impl Pairs for Identities {
    fn allow(&mut self, pair: PolicyKey) -> Result<()> {
        if self.0.get(&pair, 0).is_err() {
            self.0.insert(pair, ch3::maps::PolicyEntry::allow(0), 0)?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.keys().count()
    }

    fn packets(&self, pair: &PolicyKey) -> Result<u64> {
        Ok(self.0.get(pair, 0)?.packets)
    }
}

/// By which ports, and from where, chapter 4's pairs may talk.
#[derive(Debug, Clone, Copy)]
pub struct Sets {
    /// So many sets of ports, in turns; each has 80/TCP. 0: all ports.
    pub ports: u32,
    /// So many blocks, one of which holds [`WORLD`].
    pub blocks: u32,
}

const TCP: u8 = 6;

/// Chapter 4's.
pub struct Full {
    policy: ch4::PolicyMap,
    sets: Sets,
    /// The set of blocks has the number behind those of ports.
    blocks: u32,
}

impl Full {
    /// With these sets in the maps. To be called inside the node.
    pub fn open(sets: Sets) -> Result<Box<dyn Pairs>> {
        let (mut port_map, mut block_map) = (ch4::port_map()?, ch4::block_map()?);
        for set in 0..sets.ports {
            Self::write_ports(&mut port_map, set)?;
        }
        ensure!(port_map.keys().count() == 3 * sets.ports as usize, "port_map has other entries");
        let blocks = FIRST_SET + sets.ports;
        let mut full = Self { policy: ch4::policy_map()?, sets, blocks };
        full.write_blocks(&mut block_map)?;
        for key in full.policy.keys().collect::<Result<Vec<_>, _>>()? {
            full.policy.remove(&key)?;
        }
        let by_blocks = Policy { ports: NO_PORTS, blocks };
        full.insert(ch4::PolicyKey::new(Direction::Egress, ISOLATED, 0), by_blocks)?;
        full.insert(ch4::PolicyKey::new(Direction::Ingress, GUARDED, 0), by_blocks)?;
        for (direction, subject, peer) in
            [(Direction::Egress, ISOLATED, SERVER), (Direction::Ingress, SERVER, ISOLATED)]
        {
            let by_ports = Policy { ports: full.ports(subject), blocks: 0 };
            full.insert(ch4::PolicyKey::new(direction, subject, peer), by_ports)?;
        }
        Ok(Box::new(full))
    }

    /// 80, another port, and a range of sixteen.
    fn write_ports(map: &mut PortMap, set: u32) -> Result<()> {
        let number = FIRST_SET + set;
        let other = 1_000 + (set % 1_000) as u16;
        for (port, bits) in [(80, 16), (other, 16), (32_768 + 16 * (other - 1_000), 12)] {
            map.insert(&ch4::port_key(number, TCP, port, bits), 1, 0)?;
        }
        Ok(())
    }

    fn write_blocks(&self, map: &mut BlockMap) -> Result<()> {
        for block in 0..self.sets.blocks {
            let address = u32::from(WORLD) + (block << 8); // a /24 each
            let key = ch4::block_key(self.blocks, (address & !0xff).to_be_bytes(), 24);
            map.insert(&key, self.ports(block), 0)?;
        }
        Ok(())
    }

    /// The nth set of ports.
    fn ports(&self, nth: u32) -> u32 {
        match self.sets.ports {
            0 => ALL_PORTS,
            count => FIRST_SET + nth % count,
        }
    }

    fn key(pair: &PolicyKey) -> ch4::PolicyKey {
        ch4::PolicyKey::new(Direction::Ingress, pair.dst_id, pair.src_id)
    }

    fn insert(&mut self, key: ch4::PolicyKey, policy: Policy) -> Result<()> {
        Ok(self.policy.insert(key, PolicyEntry::new(Versions::new(0, policy)), 0)?)
    }
}

impl Pairs for Full {
    fn allow(&mut self, pair: PolicyKey) -> Result<()> {
        let key = Self::key(&pair);
        if self.policy.get(&key, 0).is_err() {
            let ports = self.ports(pair.src_id + pair.dst_id);
            self.insert(key, Policy { ports, blocks: 0 })?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.policy.keys().count()
    }

    fn packets(&self, pair: &PolicyKey) -> Result<u64> {
        Ok(self.policy.get(&Self::key(pair), 0)?.packets)
    }
}
