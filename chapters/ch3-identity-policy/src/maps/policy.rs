//! Key and value of `policy_map`: who may talk to whom, from which epoch on.

/// `struct policy_key`: may `src_id` (0: anybody) open connections to `dst_id`?
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
    pub(super) lock: u32,
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
unsafe impl aya::Pod for PolicyKey {}
// SAFETY: as above.
unsafe impl aya::Pod for PolicyEntry {}
