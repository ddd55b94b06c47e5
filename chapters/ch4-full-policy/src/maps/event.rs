//! What is in the ring buffer `events`, and the reasons by which `metrics_map` counts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `struct event` of `bpf/events.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent {
    /// Nanoseconds since boot.
    pub time: u64,
    /// Addresses as in [`super::key`].
    pub saddr: u32,
    /// As above.
    pub daddr: u32,
    /// Ports in network byte order.
    pub sport: u16,
    /// As above.
    pub dport: u16,
    /// The identity of the source, 0 if not known.
    pub src_id: u32,
    /// The identity of the destination, 0 if not known.
    pub dst_id: u32,
    /// The veth's host end.
    pub ifindex: u32,
    /// Bytes, with the Ethernet header.
    pub length: u32,
    /// The IP protocol's number; 0 for what is not IPv4.
    pub proto: u8,
    /// A [`Reason`]'s number.
    pub reason: u8,
    /// A [`Hook`]'s number.
    pub hook: u8,
    pub(super) reserved: u8,
}

impl RawEvent {
    /// Reads an entry of the ring buffer.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        // SAFETY: integers only: any bytes are a value, and there are as many as it takes.
        (bytes.len() == size_of::<Self>())
            .then(|| unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

/// `enum reason` of `bpf/reasons.h`, in its order.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
#[allow(missing_docs, reason = "their names are in REASONS")]
pub enum Reason {
    Forwarded,
    DropInvalid,
    DropEthertype,
    DropVlan,
    DropSpoofed,
    DropGroup,
    DropNotItsOwn,
    DropFragment,
    DropPolicy,
    DropEgress,
    DropUnrelated,
    DropAnswer,
    EventLost,
    CtFull,
}

/// Reasons by number, and what they are called here.
pub const REASONS: [(Reason, &str); 14] = [
    (Reason::Forwarded, "new connection"),
    (Reason::DropInvalid, "invalid header"),
    (Reason::DropEthertype, "unsupported ethertype"),
    (Reason::DropVlan, "VLAN"),
    (Reason::DropSpoofed, "spoofed source"),
    (Reason::DropGroup, "multicast or broadcast"),
    (Reason::DropNotItsOwn, "not the pod's address"),
    (Reason::DropFragment, "fragment"),
    (Reason::DropPolicy, "denied by policy"),
    (Reason::DropEgress, "egress denied by policy"),
    (Reason::DropUnrelated, "unrelated ICMP error"),
    (Reason::DropAnswer, "answer to what is not allowed"),
    (Reason::EventLost, "event lost"),
    (Reason::CtFull, "connection not remembered"),
];

/// `enum hook` of `bpf/events.h`: which program has seen the packet.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// On its way out of a pod.
    FromPod,
    /// On its way into a pod.
    ToPod,
    /// On its way from a pod to the node, or through it.
    ToNode,
}

impl Reason {
    /// What it is called.
    pub fn as_str(self) -> &'static str {
        REASONS[self as usize].1
    }
}

impl From<Reason> for &'static str {
    fn from(reason: Reason) -> Self {
        reason.as_str()
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = REASONS.into_iter().find(|(_, known)| *known == name);
        found.map(|(reason, _)| reason).ok_or_else(|| format!("{name:?} is no reason"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Hook {
    /// A hook by its number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::FromPod, Self::ToPod, Self::ToNode].into_iter().find(|hook| *hook as u8 == number)
    }

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FromPod => "from-pod",
            Self::ToPod => "to-pod",
            Self::ToNode => "to-node",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
