//! The value of `endpoint_map`: who has an address, from which epoch on.

use super::versions::Versions;

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
    /// Its number on this node: see [`super::ct`]. 0 for a pod of another node.
    pub id: u32,
    /// [`EGRESS_ISOLATED`] or nothing.
    pub flags: u16,
    /// The pod's MAC address.
    pub mac: [u8; 6],
}

/// Its policies are asked where it may connect to.
pub const EGRESS_ISOLATED: u16 = 1;

/// `struct endpoint_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointEntry {
    /// Who has the address.
    pub versions: Versions<Endpoint>,
    pub(super) lock: u32,
}

impl EndpointEntry {
    /// The entry with these versions.
    pub fn new(versions: Versions<Endpoint>) -> Self {
        Self { versions, lock: 0 }
    }
}

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for EndpointEntry {}
