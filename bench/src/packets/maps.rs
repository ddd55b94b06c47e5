//! The maps, filled by hand while no agent writes them.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::maps::{
    EGRESS_ISOLATED, Endpoint, EndpointEntry, EndpointMap, PolicyKey, endpoint_map, epoch, key,
};
use lab::Pod;

use super::pairs::Pairs;

/// Sends.
pub const CLIENT: u32 = 256;
/// Lets in the client, and pods of other nodes.
pub const SERVER: u32 = 257;
/// Is not isolated.
pub const OPEN: u32 = 258;
/// Chapter 4: goes by its pair to the server, and by blocks to the world.
pub const ISOLATED: u32 = 259;
/// Chapter 4: lets in the world by blocks.
pub const GUARDED: u32 = 260;
/// The pods of this node.
pub const LOCAL: [u32; 5] = [CLIENT, SERVER, OPEN, ISOLATED, GUARDED];
/// The first of other nodes' pods, each of which has an identity of its own.
const REMOTE: u32 = 1_000;
/// Identities that nobody has: their pairs fill the map.
const NOBODY: u32 = 20_000;

/// Nobody's address: the world.
pub const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// By this entry the client reaches the server.
pub const PAIR: PolicyKey = PolicyKey { src_id: CLIENT, dst_id: SERVER };
/// By this one whoever it is reaches the open pod.
pub const WILDCARD: PolicyKey = PolicyKey { src_id: 0, dst_id: OPEN };

/// Both maps. Endpoints are in all chapters the same; pairs are not.
pub struct Maps {
    endpoints: EndpointMap,
    pairs: Box<dyn Pairs>,
    /// How many pairs there were before the first of ours.
    before: usize,
}

/// The address of another node's pod.
pub fn remote(number: u32) -> Ipv4Addr {
    (u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number).into()
}

impl Maps {
    /// Takes the maps over from the agent: the pods get identities of ours.
    pub fn open(pods: &[Pod], pairs: Box<dyn Pairs>) -> Result<Self> {
        let mut endpoints = endpoint_map()?;
        for (pod, identity) in pods.iter().zip(LOCAL) {
            let address = key(pod.ip.context("a pod has no address")?);
            let entry = endpoints.get(&address, 0)?;
            let endpoint = entry.at(epoch()?).context("a pod is no endpoint")?;
            let flags = if identity == ISOLATED { EGRESS_ISOLATED } else { 0 };
            let entry = EndpointEntry::new(0, Endpoint { identity, flags, ..endpoint });
            endpoints.insert(address, entry, 0)?;
        }
        Ok(Self { endpoints, before: pairs.count(), pairs })
    }

    /// Fills both up to so many entries.
    pub fn fill(&mut self, (pairs, endpoints): (u32, u32)) -> Result<()> {
        let remotes = endpoints - LOCAL.len() as u32;
        for number in 0..remotes {
            let identity = REMOTE + number;
            let endpoint = Endpoint { identity, generation: 1, ..Endpoint::default() };
            let entry = EndpointEntry::new(0, endpoint);
            self.endpoints.insert(key(remote(number)), entry, 0)?;
        }
        let friends = (0..remotes).map(|it| PolicyKey { src_id: REMOTE + it, dst_id: SERVER });
        // Two hundred sources for each destination.
        let others =
            (0..).map(|it| PolicyKey { src_id: NOBODY + it % 200, dst_id: NOBODY + it / 200 });
        let all = [PAIR, WILDCARD].into_iter().chain(friends).chain(others);
        for pair in all.take(pairs as usize - self.before) {
            self.pairs.allow(pair)?;
        }
        let sizes = (self.pairs.count(), self.endpoints.keys().count());
        ensure!(sizes == (pairs as usize, endpoints as usize), "the maps have {sizes:?} entries");
        Ok(())
    }

    /// The packets that an entry has let into pods.
    pub fn let_in_by(&self, pair: &PolicyKey) -> Result<u64> {
        self.pairs.packets(pair)
    }
}
