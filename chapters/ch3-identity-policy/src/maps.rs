//! The maps as user space sees them: the structs of `bpf/maps.h`, and how to open them.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData, MapError};
use nix::errno::Errno;

/// Where all maps are pinned, as in the talk.
pub const GLOBALS: &str = "/sys/fs/bpf/tc/globals";

/// `struct endpoint`: who has an address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identity.
    pub identity: u32,
    /// The host end of its veth; 0 for a pod of another node.
    pub ifindex: u32,
    /// Another one whenever the address is given to a pod; never 0.
    pub generation: u32,
    /// [`EGRESS_ISOLATED`] or nothing.
    pub flags: u16,
    /// The pod's MAC address.
    pub mac: [u8; 6],
}

/// The endpoint opens no connections.
pub const EGRESS_ISOLATED: u16 = 1;

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
    reserved: u32,
    /// Packets that this entry let into pods.
    pub packets: u64,
    /// And their bytes.
    pub bytes: u64,
}

const ACTION_ALLOW: u32 = 1;

impl PolicyEntry {
    /// A new entry that allows.
    pub const ALLOW: Self = Self { action: ACTION_ALLOW, reserved: 0, packets: 0, bytes: 0 };
}

/// `struct ct_key`: a connection as a veth's pod sees it. Addresses as in [`key`], ports in
/// network byte order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtKey {
    /// Who opened it.
    pub saddr: u32,
    /// Whom to.
    pub daddr: u32,
    /// The opener's port, or an echo's id.
    pub sport: u16,
    /// The other's.
    pub dport: u16,
    /// The host end of the veth that keeps it.
    pub ifindex: u32,
    /// The IP protocol's number.
    pub proto: u32,
}

/// `struct ct_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtEntry {
    /// Nanoseconds since boot.
    pub expires: u64,
    /// The opener's identity.
    pub src_id: u32,
    /// Of the endpoints, 0 for none.
    pub src_generation: u32,
    /// As above.
    pub dst_generation: u32,
    /// 1 after FIN or RST.
    pub closing: u32,
}

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for Endpoint {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyEntry {}

// SAFETY: as above.
unsafe impl aya::Pod for CtKey {}
// SAFETY: as above.
unsafe impl aya::Pod for CtEntry {}

/// `endpoint_map`; its keys are made by [`key`].
pub type EndpointMap = HashMap<MapData, u32, Endpoint>;
/// `policy_map`.
pub type PolicyMap = HashMap<MapData, PolicyKey, PolicyEntry>;
/// `ct_new_map` and `ct_established_map`.
pub type CtMap = HashMap<MapData, CtKey, CtEntry>;

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

/// Takes an endpoint out of the map, if it is still of this generation. That there is no map, or
/// no entry, is no error.
pub fn remove_endpoint(address: Ipv4Addr, generation: u32) -> Result<()> {
    let Ok(mut map) = endpoint_map() else { return Ok(()) };
    match map.get(&key(address), 0) {
        Ok(entry) if entry.generation == generation => {}
        _ => return Ok(()),
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
    Ok(HashMap::try_from(Map::HashMap(open("endpoint_map")?))?)
}

/// Opens the pinned `policy_map`.
pub fn policy_map() -> Result<PolicyMap> {
    Ok(HashMap::try_from(Map::HashMap(open("policy_map")?))?)
}

/// Opens `ct_new_map` or `ct_established_map`.
pub fn ct_map(name: &str) -> Result<CtMap> {
    Ok(HashMap::try_from(Map::LruHashMap(open(name)?))?)
}

/// Opens a pinned map.
pub fn open(name: &str) -> Result<MapData> {
    let path = format!("{GLOBALS}/{name}");
    MapData::from_pin(&path).with_context(|| format!("cannot open {path}; does ebpf-agent run?"))
}
