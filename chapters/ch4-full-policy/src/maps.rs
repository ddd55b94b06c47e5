//! The maps as user space sees them: the structs of `bpf/maps.h`, and how to open them.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use nix::errno::Errno;

pub mod ct;
mod endpoint;
pub mod event;
mod policy;
mod versions;

/// Where all maps are pinned, as in the talk.
pub const GLOBALS: &str = "/sys/fs/bpf/tc/globals";
/// What both programs read or write.
pub const MAPS: [&str; 9] = [
    "endpoint_map",
    "policy_map",
    "port_map",
    "block_map",
    "epoch_map",
    "ct_map",
    "metrics_map",
    "events",
    "listening_map",
];

pub use endpoint::{EGRESS_ISOLATED, Endpoint, EndpointEntry};
pub use policy::{
    ALL_PORTS, BlockMap, Direction, FIRST_SET, NO_PORTS, Policy, PolicyEntry, PolicyKey, PolicyMap,
    PortMap, block_key, port_key,
};
pub use versions::Versions;

/// `endpoint_map`; its keys are made by [`key`].
pub type EndpointMap = HashMap<MapData, u32, EndpointEntry>;

/// A map of one number: `epoch_map`, `listening_map`.
pub struct Number(Array<MapData, u32>);

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Number").field(&self.get()).finish()
    }
}

impl Number {
    /// Opens a pinned one.
    pub fn open(name: &str) -> Result<Self> {
        named(name, |map| Array::try_from(Map::Array(map))).map(Self)
    }

    /// The number.
    pub fn get(&self) -> Result<u32> {
        Ok(self.0.get(&0, 0)?)
    }

    /// Sets it.
    pub fn set(&mut self, number: u32) -> Result<()> {
        Ok(self.0.set(0, number, 0)?)
    }
}

/// The epoch that counts now.
pub fn epoch() -> Result<u32> {
    Number::open("epoch_map")?.get()
}

/// `BPF_F_LOCK`: an update writes into the entry that is there, see `bpf/maps.h`.
pub const IN_PLACE: u64 = 4;

/// An address as a key of `endpoint_map`: its bytes in network order.
pub fn key(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// The address of a key.
pub fn address(key: u32) -> Ipv4Addr {
    Ipv4Addr::from(key.to_ne_bytes())
}

/// Pods that have an address one after the other have different generations: a hash of the veth's
/// host end, or of a remote pod's uid. FNV-1a, since plugin and agent must compute the same.
pub fn generation(name: &str) -> u32 {
    let fold = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, fold).max(1)
}

/// Who has an address now, as the kernel has it.
pub fn endpoint(address: Ipv4Addr) -> Result<Option<Endpoint>> {
    let epoch = self::epoch()?;
    match endpoint_map()?.get(&key(address), 0) {
        Ok(entry) => Ok(entry.versions.at(epoch)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look up {address}")),
    }
}

/// Takes an endpoint out of the map, if it is still of this generation. That there is no map, or
/// no entry, is no error.
pub fn remove_endpoint(address: Ipv4Addr, generation: u32) -> Result<()> {
    let Ok(mut map) = endpoint_map() else { return Ok(()) };
    if endpoint(address)?.is_none_or(|endpoint| endpoint.generation != generation) {
        return Ok(());
    }
    match map.remove(&key(address)) {
        Err(error) if !is_absent(&error) => {
            Err(error).with_context(|| format!("cannot remove {address} from endpoint_map"))
        }
        _ => Ok(()),
    }
}

/// Does the error say that there is no such entry?
pub fn is_absent(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound) || errno(error) == Some(Errno::ENOENT)
}

/// The kernel's word in an error.
pub fn errno(error: &MapError) -> Option<Errno> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

/// Opens the pinned `endpoint_map`.
pub fn endpoint_map() -> Result<EndpointMap> {
    named("endpoint_map", |map| HashMap::try_from(Map::HashMap(map)))
}

/// Opens the pinned `policy_map`.
pub fn policy_map() -> Result<PolicyMap> {
    named("policy_map", |map| HashMap::try_from(Map::HashMap(map)))
}

/// Opens the pinned `port_map`.
pub fn port_map() -> Result<PortMap> {
    named("port_map", |map| LpmTrie::try_from(Map::LpmTrie(map)))
}

/// Opens the pinned `block_map`.
pub fn block_map() -> Result<BlockMap> {
    named("block_map", |map| LpmTrie::try_from(Map::LpmTrie(map)))
}

fn named<M>(name: &str, map: impl FnOnce(MapData) -> Result<M, MapError>) -> Result<M> {
    map(open(name)?).with_context(|| {
        format!("{GLOBALS}/{name} has another layout than this build's; run: rm -r {GLOBALS}")
    })
}

/// How many entries a pinned map has room for.
pub fn capacity(name: &str) -> Result<u32> {
    Ok(open(name)?.info()?.max_entries())
}

/// Opens a pinned map.
pub fn open(name: &str) -> Result<MapData> {
    let path = format!("{GLOBALS}/{name}");
    MapData::from_pin(&path).with_context(|| format!("cannot open {path}; does ebpf-agent run?"))
}

#[cfg(test)]
mod tests;
