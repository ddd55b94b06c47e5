//! What the kernel saw: drops and new connections, from the ring buffer to whoever wants to know.

use std::net::Ipv4Addr;

use anyhow::Result;
use aya::maps::{Map, RingBuf};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;

use crate::maps;

/// Nothing allows it.
pub const DENIED: &str = "denied by policy";
/// Its source opens no connections.
pub const EGRESS: &str = "isolated for egress";
/// Its connection was allowed once, and is not any more.
pub const ANSWER: &str = "answer to what is not allowed";

/// Reasons by number, as in `bpf/reasons.h`: what they are called here.
pub const REASONS: [&str; 14] = [
    "new connection",
    "invalid header",
    "unsupported ethertype",
    "VLAN",
    "spoofed source",
    "multicast or broadcast",
    "not the pod's address",
    "fragment",
    DENIED,
    EGRESS,
    "unrelated ICMP error",
    ANSWER,
    "event lost",
    "connection not remembered",
];

/// One packet of which the kernel told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time: u64,
    /// Was it dropped? Else it is the first of a connection.
    pub dropped: bool,
    /// One of [`REASONS`].
    pub reason: String,
    /// `from-pod` or `to-pod`.
    pub hook: String,
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
    /// Reads `struct event` of `bpf/events.h`.
    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let port = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
        let address = |at: usize| word(at).map(maps::address);
        let [protocol, reason, hook] = bytes.get(36..39)?.try_into().ok()?;
        Some(Self {
            time: u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?),
            dropped: reason != 0,
            reason: (*REASONS.get(usize::from(reason))?).into(),
            hook: if hook == 0 { "from-pod" } else { "to-pod" }.into(),
            source: address(8)?,
            destination: address(12)?,
            source_port: port(16)?,
            destination_port: port(18)?,
            source_identity: word(20)?,
            destination_identity: word(24)?,
            ifindex: word(28)?,
            length: word(32)?,
            protocol,
        })
    }
}

/// Reads the ring buffer for ever. It has one reader, and that is us: others subscribe.
pub async fn read(subscribers: broadcast::Sender<Event>) -> Result<()> {
    let ring = RingBuf::try_from(Map::RingBuf(maps::open("events")?))?;
    // SAFETY: the ring owns its map's descriptor, always the same, and nobody takes the ring out.
    let mut ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
    loop {
        let mut guard = ring.readable_mut().await?;
        let ring = guard.get_inner_mut();
        while let Some(bytes) = ring.next() {
            if let Some(event) = Event::read(&bytes) {
                let _ = subscribers.send(event); // nobody need be listening
            }
        }
        guard.clear_ready();
    }
}
