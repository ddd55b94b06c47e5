//! The maps as user space sees them: the structs of `bpf/maps.h`, and how to open them.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use nix::errno::Errno;

pub mod ct;

/// Where all maps are pinned, as in the talk.
pub const GLOBALS: &str = "/sys/fs/bpf/tc/globals";
/// What both programs read or write.
pub const MAPS: [&str; 7] =
    ["endpoint_map", "policy_map", "epoch_map", "ct_map", "metrics_map", "events", "listening_map"];

/// `struct endpoint` but for `since`: who has an address.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identity.
    pub identity: u32,
    /// The host end of its veth; 0 for a pod of another node.
    pub ifindex: u32,
    /// Another one whenever the address is given to a pod; never 0.
    pub generation: u32,
    /// Its number on this node: see [`ct`]. 0 for a pod of another node.
    pub id: u32,
    /// [`EGRESS_ISOLATED`] or nothing.
    pub flags: u16,
    /// The pod's MAC address.
    pub mac: [u8; 6],
}

/// The endpoint opens no connections.
pub const EGRESS_ISOLATED: u16 = 1;

/// `struct endpoint`: from an epoch on somebody, or nobody (identity 0), has the address.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Version {
    since: u32,
    endpoint: Endpoint,
}

/// `struct endpoint_entry`: two versions, of which the younger counts, if its epoch has come.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointEntry {
    versions: [Version; 2],
    lock: u32,
}

impl EndpointEntry {
    /// Who has had the address since this epoch, and nobody before.
    pub fn new(since: u32, endpoint: Endpoint) -> Self {
        Self { versions: [Version { since, endpoint }, Version::default()], lock: 0 }
    }

    // #region versions
    /// Who has the address in this epoch.
    pub fn at(&self, epoch: u32) -> Option<Endpoint> {
        let endpoint = self.versions[self.index_at(epoch)?].endpoint;
        (endpoint.identity != 0).then_some(endpoint)
    }

    /// The same entry, and from this epoch on somebody else, or nobody (identity 0), has the
    /// address. The version before it stays: programs are still reading it.
    pub fn from(mut self, epoch: u32, endpoint: Endpoint) -> Self {
        let other = self.index_at(epoch - 1).map_or(0, |before| 1 - before);
        self.versions[other] = Version { since: epoch, endpoint };
        self
    }
    // #endregion versions

    /// The latest epoch that it speaks of.
    pub fn newest(&self) -> u32 {
        self.versions[0].since.max(self.versions[1].since)
    }

    fn index_at(&self, epoch: u32) -> Option<usize> {
        let counts = |index: &usize| self.versions[*index].since <= epoch;
        [1, 0].into_iter().filter(counts).max_by_key(|&index| self.versions[index].since)
    }
}

/// `struct policy_key`: may `src_id` (0: whoever it is) open connections to `dst_id`?
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Who asks.
    pub src_id: u32,
    /// Who is asked.
    pub dst_id: u32,
}

/// `struct policy_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyEntry {
    /// [`ACTION_ALLOW`]; there is no other.
    pub action: u32,
    /// The first epoch in which it counts.
    pub since: u32,
    /// The first in which it does not any more; 0: no end yet.
    pub until: u32,
    lock: u32,
    /// Packets that this entry let into pods.
    pub packets: u64,
    /// And their bytes.
    pub bytes: u64,
}

const ACTION_ALLOW: u32 = 1;

impl PolicyEntry {
    /// An entry that allows, from this epoch on.
    pub fn allow(since: u32) -> Self {
        Self { action: ACTION_ALLOW, since, until: 0, lock: 0, packets: 0, bytes: 0 }
    }

    /// The same entry, and it ends with this epoch; 0: it does not.
    pub fn until(self, until: u32) -> Self {
        Self { until, ..self }
    }

    /// The latest epoch that it speaks of.
    pub fn newest(&self) -> u32 {
        self.since.max(self.until)
    }

    /// Does it count in this epoch?
    pub fn is_at(&self, epoch: u32) -> bool {
        self.since <= epoch && (self.until == 0 || epoch < self.until)
    }
}

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for EndpointEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyEntry {}

/// `endpoint_map`; its keys are made by [`key`].
pub type EndpointMap = HashMap<MapData, u32, EndpointEntry>;
/// `policy_map`.
pub type PolicyMap = HashMap<MapData, PolicyKey, PolicyEntry>;

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

/// A number that tells those who have an address one after the other apart: a hash of the veth's
/// host end, or of a remote pod's uid. FNV-1a, since plugin and agent must compute the same.
pub fn generation(name: &str) -> u32 {
    let fold = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, fold).max(1)
}

/// Who has an address now, as the kernel has it.
pub fn endpoint(address: Ipv4Addr) -> Result<Option<Endpoint>> {
    let epoch = self::epoch()?;
    match endpoint_map()?.get(&key(address), 0) {
        Ok(entry) => Ok(entry.at(epoch)),
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

fn named<M>(name: &str, map: impl FnOnce(MapData) -> Result<M, MapError>) -> Result<M> {
    map(open(name)?).with_context(|| {
        format!("{GLOBALS}/{name} has another layout than this build's; run: rm -r {GLOBALS}")
    })
}

/// Opens a pinned map.
pub fn open(name: &str) -> Result<MapData> {
    let path = format!("{GLOBALS}/{name}");
    MapData::from_pin(&path).with_context(|| format!("cannot open {path}; does ebpf-agent run?"))
}
