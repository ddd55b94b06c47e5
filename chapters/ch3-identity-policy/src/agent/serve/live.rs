//! What the kernel's maps say of a connection: the same look-ups as the programs'.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::flow::Located;
use crate::agent::owners::identity::{HOST, WORLD};
use crate::maps::{self, EGRESS_ISOLATED, PolicyKey, key};

/// What the maps say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// May it be?
    pub allowed: bool,
    /// Of the source, as `endpoint_map` has it.
    pub source_identity: u32,
    /// Of the destination.
    pub destination_identity: u32,
    /// The entry of `policy_map` that allows it; source 0 is the wildcard.
    pub entry: Option<(u32, u32)>,
}

/// Looks up both ends and the pair.
pub fn look_up(source: &Located, destination: &Located) -> Result<Live> {
    // One epoch for all: a change may come meanwhile.
    let (epoch, endpoints) = (maps::epoch()?, maps::endpoint_map()?);
    let endpoint = |end: &Located| endpoints.get(&key(end.address?), 0).ok()?.at(epoch);
    let (from, to) = (endpoint(source), endpoint(destination));
    // An end without an endpoint is the world, but for the node itself.
    let reserved = |end: &Located| if end.end.identity == HOST { HOST } else { WORLD };
    let source_identity = from.map_or(reserved(source), |endpoint| endpoint.identity);
    let destination_identity = to.map_or(reserved(destination), |endpoint| endpoint.identity);
    let is_isolated = from.is_some_and(|endpoint| endpoint.flags & EGRESS_ISOLATED != 0);

    let policies = maps::policy_map()?;
    let pairs =
        [source_identity, 0].map(|src_id| PolicyKey { src_id, dst_id: destination_identity });
    let entry =
        pairs.into_iter().find(|pair| policies.get(pair, 0).is_ok_and(|entry| entry.is_at(epoch)));
    let allowed = source_identity == HOST
        || source.address.is_some() && source.address == destination.address
        || !is_isolated && (to.is_none() || entry.is_some());
    let entry = entry.filter(|_| allowed).map(|pair| (pair.src_id, pair.dst_id));
    Ok(Live { allowed, source_identity, destination_identity, entry })
}
