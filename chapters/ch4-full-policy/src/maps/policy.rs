//! Key and value of `policy_map`: who may talk to whom by which ports, from which epoch on.

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, MapData};

use super::versions::Versions;

/// Whose policies are asked: `enum direction`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The source's.
    Egress,
    /// The destination's.
    Ingress,
}

impl Direction {
    /// Both, in the order in which a packet meets them.
    pub const BOTH: [Self; 2] = [Self::Egress, Self::Ingress];

    /// As `policyTypes` has it.
    pub fn as_str(self) -> &'static str {
        ["Egress", "Ingress"][self as usize]
    }
}

/// `struct policy_key`: may `src_id` open connections to `dst_id`?
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Who asks; in ingress 0 is anybody.
    pub src_id: u32,
    /// Who is asked; in egress 0 is anybody.
    pub dst_id: u32,
    /// A [`Direction`]'s number.
    pub direction: u32,
}

impl PolicyKey {
    /// The policies of `subject`, and what they say of `peer`.
    pub fn new(direction: Direction, subject: u32, peer: u32) -> Self {
        let (src_id, dst_id) = match direction {
            Direction::Egress => (subject, peer),
            Direction::Ingress => (peer, subject),
        };
        Self { src_id, dst_id, direction: direction as u32 }
    }

    /// Whose policies it is about.
    pub fn direction(&self) -> Direction {
        Direction::BOTH[(self.direction as usize).min(1)]
    }

    /// Whose policies are asked, and the other end.
    pub fn ends(&self) -> (u32, u32) {
        match self.direction() {
            Direction::Egress => (self.src_id, self.dst_id),
            Direction::Ingress => (self.dst_id, self.src_id),
        }
    }
}

/// `struct policy` but for `since`: numbers of sets, see `bpf/maps.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// By which ports.
    pub ports: u32,
    /// From or to where; 0: nowhere.
    pub blocks: u32,
}

/// `struct policy_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyEntry {
    /// What it allows.
    pub versions: Versions<Policy>,
    pub(super) lock: u32,
    pub(super) reserved: u32,
    /// Packets that this entry let through.
    pub packets: u64,
    /// And their bytes.
    pub bytes: u64,
}

impl PolicyEntry {
    /// The entry with these versions, which has let nothing through yet.
    pub fn new(versions: Versions<Policy>) -> Self {
        Self { versions, lock: 0, reserved: 0, packets: 0, bytes: 0 }
    }
}

/// No port at all, also no protocol without ports.
pub const NO_PORTS: u32 = 0;
/// All ports of all protocols, and protocols without ports.
pub const ALL_PORTS: u32 = 1;
/// The first number of a set that is in a map.
pub const FIRST_SET: u32 = 2;

/// `struct port_key` but for its prefix length.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortKey {
    /// The set's number.
    pub set: u32,
    /// The IP protocol's number.
    pub proto: u8,
    pub(super) reserved: u8,
    /// In network byte order.
    pub port: [u8; 2],
}

/// `struct block_key` but for its prefix length.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockKey {
    /// The set's number.
    pub set: u32,
    /// In network byte order.
    pub address: [u8; 4],
}

/// `port_map`'s key for a prefix of `bits` of the port.
pub fn port_key(set: u32, proto: u8, port: u16, bits: u32) -> Key<PortKey> {
    Key::new(48 + bits, PortKey { set, proto, reserved: 0, port: port.to_be_bytes() })
}

/// `block_map`'s key for a prefix of `bits` of the address.
pub fn block_key(set: u32, address: [u8; 4], bits: u32) -> Key<BlockKey> {
    Key::new(32 + bits, BlockKey { set, address })
}

/// `policy_map`.
pub type PolicyMap = HashMap<MapData, PolicyKey, PolicyEntry>;
/// `port_map`.
pub type PortMap = LpmTrie<MapData, PortKey, u32>;
/// `block_map`.
pub type BlockMap = LpmTrie<MapData, BlockKey, u32>;

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for PolicyKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for PortKey {}
// SAFETY: as above.
unsafe impl aya::Pod for BlockKey {}
