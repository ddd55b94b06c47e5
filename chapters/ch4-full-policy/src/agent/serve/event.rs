//! What the kernel saw: a drop, or a new connection.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::maps;
use crate::maps::event::{Hook, REASONS, RawEvent, Reason};

/// One packet that the kernel has reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time: u64,
    /// Was it dropped? Else it is the first of a connection.
    pub dropped: bool,
    /// Why it was dropped.
    pub reason: Reason,
    /// Which program has seen it.
    pub hook: Hook,
    /// The packet's source address.
    pub source: Ipv4Addr,
    /// Its port, or an ICMP echo's id.
    pub source_port: u16,
    /// The identity, 0 if not known.
    pub source_identity: u32,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// Its port.
    pub destination_port: u16,
    /// The identity, 0 if not known.
    pub destination_identity: u32,
    /// The IP protocol's number; 0 for what is not IPv4.
    pub protocol: u8,
    /// The veth's host end.
    pub ifindex: u32,
    /// Bytes, with the Ethernet header.
    pub length: u32,
}

impl Event {
    /// What the kernel wrote, as people read it.
    pub fn new(raw: &RawEvent) -> Option<Self> {
        let (reason, _) = REASONS.get(usize::from(raw.reason))?;
        Some(Self {
            time: raw.time,
            dropped: *reason != Reason::Forwarded,
            reason: *reason,
            hook: Hook::from_number(raw.hook)?,
            source: maps::address(raw.saddr),
            source_port: u16::from_be(raw.sport),
            source_identity: raw.src_id,
            destination: maps::address(raw.daddr),
            destination_port: u16::from_be(raw.dport),
            destination_identity: raw.dst_id,
            protocol: raw.proto,
            ifindex: raw.ifindex,
            length: raw.length,
        })
    }
}
