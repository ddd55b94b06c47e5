//! Does one pod reach another, this moment? Asked by a datagram, and of the maps.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lab::{Node, Pod};

use crate::echo;
use crate::verdicts::{self, Verdicts};

/// From one question to the next.
const INTERVAL: Duration = Duration::from_micros(200);
/// The answer must be the same so many times, before it counts as what it will be.
const STEADY: usize = 25;
const PATIENCE: Duration = Duration::from_secs(20);

/// Two pods of one node, and the node's maps.
pub struct Probe {
    client: UdpSocket,
    server: UdpSocket,
    addresses: [Ipv4Addr; 2],
    /// Where the server listens.
    pub port: u16,
    verdicts: Box<dyn Verdicts + Send>,
    sent: u64,
}

/// When the answer became another one, after somebody had begun to change something.
#[derive(Debug, Clone, Copy)]
pub struct Switched {
    /// By a datagram: the first one that was treated so, when it was sent.
    pub packet: Duration,
    /// By the maps.
    pub map: Duration,
}

/// One question.
struct Asked {
    at: Instant,
    number: u64,
    map: bool,
}

impl Probe {
    /// From the first pod to the second, on a node of this chapter.
    pub fn new(node: &Node, chapter: &str, client: &Pod, server: &Pod) -> Result<Self> {
        let addresses = [echo::place(client)?.1, echo::place(server)?.1];
        let verdicts = node.enter(|| verdicts::open(chapter))??;
        let (client, server) = (echo::udp(node, client)?, echo::udp(node, server)?);
        client.connect(server.local_addr()?)?;
        let port = server.local_addr()?.port();
        Ok(Self { client, server, addresses, port, verdicts, sent: 0 })
    }

    /// What the maps say, asked as `to_pod` asks them.
    fn map_allows(&self) -> Result<bool> {
        let [client, server] = self.addresses;
        self.verdicts.allow(client, server, self.port)
    }

    /// Waits until the answer stays as it should be.
    pub fn settle(&mut self, allowed: bool) -> Result<()> {
        self.watch(allowed, || Ok(())).map(drop)
    }

    /// Makes a change, and finds out when the answer becomes this one. Before, it is the other.
    pub fn watch(
        &mut self,
        allowed: bool,
        change: impl FnOnce() -> Result<()>,
    ) -> Result<Switched> {
        let mut arrived = BTreeSet::new();
        let mut asked: Vec<Asked> = Vec::new();
        let start = Instant::now();
        change()?;
        loop {
            let next = Instant::now() + INTERVAL;
            asked.push(self.ask()?);
            while let Some(number) = self.hear()? {
                arrived.insert(number);
            }
            let is_so = |it: &Asked| it.map == allowed && arrived.contains(&it.number) == allowed;
            // The last one may still be on its way.
            if asked.len() > STEADY && asked.iter().rev().skip(1).take(STEADY).all(is_so) {
                break;
            }
            if start.elapsed() > PATIENCE {
                bail!("{PATIENCE:?} after the change the answer is not always {allowed}");
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        asked.pop();
        let first = |is_so: &dyn Fn(&Asked) -> bool| {
            let from = asked.iter().rposition(|it| !is_so(it)).map_or(0, |last| last + 1);
            // Once so, always so: the answer did not change its mind.
            let flaps = asked[..from].iter().any(is_so);
            (asked[from].at.duration_since(start), flaps)
        };
        let (packet, packet_flaps) = first(&|it| arrived.contains(&it.number) == allowed);
        let (map, map_flaps) = first(&|it| it.map == allowed);
        ensure!(!packet_flaps && !map_flaps, "the answer went to and fro");
        Ok(Switched { packet, map })
    }

    fn ask(&mut self) -> Result<Asked> {
        self.sent += 1;
        let (at, number) = (Instant::now(), self.sent);
        self.client.send(&number.to_be_bytes())?;
        Ok(Asked { at, number, map: self.map_allows()? })
    }

    fn hear(&self) -> Result<Option<u64>> {
        let mut number = [0; 8];
        match self.server.recv(&mut number) {
            Ok(_) => Ok(Some(u64::from_be_bytes(number))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
