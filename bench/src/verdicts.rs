//! What a chapter's maps say of a connection, asked as its programs ask them.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use ch3_identity_policy::maps as ch3;
use ch4_full_policy::maps::{
    self as ch4, ALL_PORTS, Direction, EGRESS_ISOLATED, NO_PORTS, block_key, port_key,
};

const UDP: u8 = 17;

/// Does a pod reach a UDP port of another?
pub trait Verdicts {
    /// Now.
    fn allow(&self, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Result<bool>;
}

/// The pinned maps of a chapter. To be called inside the node.
pub fn open(chapter: &str) -> Result<Box<dyn Verdicts + Send>> {
    match chapter {
        "ch3" => Ok(Box::new(Identities {
            endpoints: ch3::endpoint_map()?,
            policy: ch3::policy_map()?,
            epoch: ch3::Number::open("epoch_map")?,
        })),
        _ => Ok(Box::new(Full {
            endpoints: ch4::endpoint_map()?,
            policy: ch4::policy_map()?,
            ports: ch4::port_map()?,
            blocks: ch4::block_map()?,
            epoch: ch4::Number::open("epoch_map")?,
        })),
    }
}

/// Chapter 3's.
struct Identities {
    endpoints: ch3::EndpointMap,
    policy: ch3::PolicyMap,
    epoch: ch3::Number,
}

impl Verdicts for Identities {
    fn allow(&self, from: Ipv4Addr, to: Ipv4Addr, _: u16) -> Result<bool> {
        let epoch = self.epoch.get()?;
        let identity = |address| {
            let endpoint = self.endpoints.get(&ch3::key(address), 0)?.at(epoch);
            endpoint.map(|it| it.identity).context("a pod is no endpoint")
        };
        let (src_id, dst_id) = (identity(from)?, identity(to)?);
        let has = |src_id| {
            let entry = self.policy.get(&ch3::PolicyKey { src_id, dst_id }, 0);
            entry.is_ok_and(|entry| entry.is_at(epoch))
        };
        Ok(has(src_id) || has(0))
    }
}

/// Chapter 4's.
struct Full {
    endpoints: ch4::EndpointMap,
    policy: ch4::PolicyMap,
    ports: ch4::PortMap,
    blocks: ch4::BlockMap,
    epoch: ch4::Number,
}

impl Full {
    fn has_port(&self, set: u32, port: u16) -> bool {
        match set {
            NO_PORTS => false,
            ALL_PORTS => true,
            set => self.ports.get(&port_key(set, UDP, port, 16), 0).is_ok(),
        }
    }

    fn has_address(&self, set: u32, address: Ipv4Addr, port: u16) -> bool {
        let ports = self.blocks.get(&block_key(set, address.octets(), 32), 0);
        ports.is_ok_and(|ports| self.has_port(ports, port))
    }
}

impl Verdicts for Full {
    fn allow(&self, from: Ipv4Addr, to: Ipv4Addr, port: u16) -> Result<bool> {
        let epoch = self.epoch.get()?;
        let endpoint = |address| {
            let endpoint = self.endpoints.get(&ch4::key(address), 0)?.versions.at(epoch);
            endpoint.context("a pod is no endpoint")
        };
        let (src, dst) = (endpoint(from)?, endpoint(to)?);
        let side = |direction, subject, peer, address| {
            let at = |peer| {
                let key = ch4::PolicyKey::new(direction, subject, peer);
                self.policy.get(&key, 0).ok()?.versions.at(epoch)
            };
            let anybody = at(0);
            [anybody, at(peer)].iter().flatten().any(|it| self.has_port(it.ports, port))
                || anybody.is_some_and(|it| self.has_address(it.blocks, address, port))
        };
        let is_free = src.flags & EGRESS_ISOLATED == 0;
        Ok((is_free || side(Direction::Egress, src.identity, dst.identity, to))
            && side(Direction::Ingress, dst.identity, src.identity, from))
    }
}
