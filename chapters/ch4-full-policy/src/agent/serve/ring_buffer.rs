//! Events on their way from the ring buffer to those who listen.

use std::time::Duration;

use anyhow::Result;
use aya::maps::{Map, MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{broadcast, watch};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::event::Event;
use crate::maps::event::RawEvent;
use crate::maps::{self, Number};

/// How often the ring buffer is looked into while somebody listens.
const LOOK: Duration = Duration::from_millis(100);
/// So many events are handed on before others get their turn.
const TURN: usize = 256;

/// Those who listen: the kernel writes events only while somebody does.
#[derive(Debug, Clone)]
pub struct Monitor {
    events: broadcast::Sender<Event>,
    /// How many listeners have come, ever.
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

    /// Reads the ring buffer for ever. It has one reader, and that is us: others subscribe.
    pub async fn run(&self) {
        // An agent before us may have died with listeners.
        if let Err(error) = Number::open("listening_map").and_then(|mut listening| listening.set(0))
        {
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

    /// Hands on what has come.
    async fn hand_on(&self, ring: &mut RingBuf<MapData>) {
        for turn in 1.. {
            let Some(bytes) = ring.next() else { return };
            if let Some(event) = RawEvent::read(&bytes).and_then(|raw| Event::new(&raw)) {
                let _ = self.events.send(event); // nobody need be listening
            }
            drop(bytes);
            if turn % TURN == 0 {
                yield_now().await;
            }
        }
    }
}
