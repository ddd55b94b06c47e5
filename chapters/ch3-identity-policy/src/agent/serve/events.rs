//! What the kernel saw: drops and new connections, from the ring buffer to whoever wants to know.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use aya::maps::{Map, MapData, RingBuf};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{broadcast, watch};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::maps::{self, Number};

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

/// How often the ring buffer is looked into while somebody listens.
const LOOK: Duration = Duration::from_millis(100);
/// So many events are handed on before others get their turn.
const TURN: usize = 256;

/// Who wants to know: the kernel tells only while somebody does.
#[derive(Debug, Clone)]
pub struct Monitor {
    events: broadcast::Sender<Event>,
    /// How many have come, ever.
    listeners: watch::Sender<u64>,
    /// How many of them the kernel has heard of.
    heard: watch::Sender<u64>,
}

impl Default for Monitor {
    fn default() -> Self {
        let zero = || watch::channel(0).0;
        Self { events: broadcast::channel(4096).0, listeners: zero(), heard: zero() }
    }
}

impl Monitor {
    /// All events from now on: when it returns, the kernel knows that somebody listens.
    pub async fn subscribe(&self) -> broadcast::Receiver<Event> {
        let events = self.events.subscribe();
        let mut heard = self.heard.subscribe();
        let mut number = 0;
        self.listeners.send_modify(|count| {
            *count += 1;
            number = *count;
        });
        // The sender is ours: it does not go while we wait.
        let _ = heard.wait_for(|heard| *heard >= number).await;
        events
    }

    // #region read
    /// Reads the ring buffer for ever. It has one reader, and that is us: others subscribe.
    pub async fn read(&self) {
        // An agent before us may have died with listeners.
        if let Err(error) = Number::open("listening_map").and_then(|mut it| it.set(0)) {
            tracing::error!("cannot stop events: {error:#}");
        }
        loop {
            if let Err(error) = self.serve_listeners().await {
                tracing::error!("cannot read events: {error:#}");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// From the first listener's coming to the last one's going.
    async fn serve_listeners(&self) -> Result<()> {
        let mut listeners = self.listeners.subscribe();
        let _ = listeners.wait_for(|_| self.events.receiver_count() > 0).await; // the sender is ours
        let mut listening = Number::open("listening_map")?;
        let ring = RingBuf::try_from(Map::RingBuf(maps::open("events")?))?;
        // SAFETY: the ring owns its map's descriptor, always the same, and nobody takes it out.
        let mut ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        while ring.get_mut().next().is_some() {} // of listeners before
        while self.events.receiver_count() > 0 {
            listening.set(1)?;
            self.heard.send_replace(*listeners.borrow_and_update());
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = listeners.changed() => {}
                full = ring.readable_mut() => full?.clear_ready(),
            }
            self.hand_on(ring.get_mut()).await;
        }
        listening.set(0)
    }
    // #endregion read

    /// Hands on what has come.
    async fn hand_on(&self, ring: &mut RingBuf<MapData>) {
        for turn in 1.. {
            let Some(bytes) = ring.next() else { return };
            if let Some(event) = Event::read(&bytes) {
                let _ = self.events.send(event); // nobody need be listening
            }
            drop(bytes);
            if turn % TURN == 0 {
                yield_now().await;
            }
        }
    }
}
