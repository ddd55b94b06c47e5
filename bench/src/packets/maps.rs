//! The maps, filled by hand while no agent writes them.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::maps::{
    Endpoint, EndpointEntry, EndpointMap, PolicyEntry, PolicyKey, PolicyMap, endpoint_map, epoch,
    key, policy_map,
};
use lab::Pod;

/// Sends.
pub const CLIENT: u32 = 256;
/// Lets in the client, and pods of other nodes.
pub const SERVER: u32 = 257;
/// Is not isolated.
pub const OPEN: u32 = 258;
/// The first of other nodes' pods, each of which has an identity of its own.
const REMOTE: u32 = 1_000;
/// Identities that nobody has: their pairs fill the map.
const NOBODY: u32 = 20_000;

/// By this entry the client reaches the server.
pub const PAIR: PolicyKey = PolicyKey { src_id: CLIENT, dst_id: SERVER };
/// By this one whoever it is reaches the open pod.
pub const WILDCARD: PolicyKey = PolicyKey { src_id: 0, dst_id: OPEN };

/// Both maps, and who is on this node.
#[derive(Debug)]
pub struct Maps {
    endpoints: EndpointMap,
    policy: PolicyMap,
    local: u32,
}

/// The address of another node's pod.
pub fn remote(number: u32) -> Ipv4Addr {
    (u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number).into()
}

impl Maps {
    /// Takes the maps over from the agent: the pods get identities of ours, what is allowed goes.
    pub fn open(pods: &[Pod]) -> Result<Self> {
        let (mut endpoints, mut policy) = (endpoint_map()?, policy_map()?);
        for (pod, identity) in pods.iter().zip([CLIENT, SERVER, OPEN]) {
            let address = key(pod.ip.context("a pod has no address")?);
            let entry = endpoints.get(&address, 0)?;
            let endpoint = entry.at(epoch()?).context("a pod is no endpoint")?;
            let entry = EndpointEntry::new(0, Endpoint { identity, ..endpoint });
            endpoints.insert(address, entry, 0)?;
        }
        for key in policy.keys().collect::<Result<Vec<_>, _>>()? {
            policy.remove(&key)?;
        }
        Ok(Self { endpoints, policy, local: pods.len().try_into()? })
    }

    /// Fills both up to so many entries.
    pub fn fill(&mut self, (pairs, endpoints): (u32, u32)) -> Result<()> {
        let remotes = endpoints - self.local;
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
        for pair in all.take(pairs as usize) {
            if self.policy.get(&pair, 0).is_err() {
                self.policy.insert(pair, PolicyEntry::allow(0), 0)?;
            }
        }
        let sizes = (self.policy.keys().count(), self.endpoints.keys().count());
        ensure!(sizes == (pairs as usize, endpoints as usize), "the maps have {sizes:?} entries");
        Ok(())
    }

    /// The packets that an entry has let into pods.
    pub fn let_in_by(&self, pair: &PolicyKey) -> Result<u64> {
        Ok(self.policy.get(pair, 0)?.packets)
    }
}
