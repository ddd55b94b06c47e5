//! The value of `endpoint_map`: who has an address, from which epoch on.

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

/// The endpoint opens no connections.
pub const EGRESS_ISOLATED: u16 = 1;

/// `struct endpoint`: from an epoch on somebody, or nobody (identity 0), has the address.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) since: u32,
    pub(super) endpoint: Endpoint,
}

/// `struct endpoint_entry`: two versions, of which the younger counts, if its epoch has come.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointEntry {
    pub(super) versions: [Version; 2],
    pub(super) lock: u32,
}

impl EndpointEntry {
    /// An owner of the address since this epoch, and none before.
    pub fn new(since: u32, endpoint: Endpoint) -> Self {
        Self { versions: [Version { since, endpoint }, Version::default()], lock: 0 }
    }

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

    /// The latest epoch that it speaks of.
    pub fn newest(&self) -> u32 {
        self.versions[0].since.max(self.versions[1].since)
    }

    fn index_at(&self, epoch: u32) -> Option<usize> {
        let counts = |index: &usize| self.versions[*index].since <= epoch;
        [1, 0].into_iter().filter(counts).max_by_key(|&index| self.versions[index].since)
    }
}

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for EndpointEntry {}
