//! Does one pod reach another, this moment? Asked by a datagram, and of the maps.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ch3_identity_policy::maps::{
    EndpointMap, Number, PolicyKey, PolicyMap, endpoint_map, key, policy_map,
};
use lab::{Node, Pod};

use crate::echo;

/// From one question to the next.
const INTERVAL: Duration = Duration::from_micros(200);
/// The answer must be the same so many times, before it counts as what it will be.
const STEADY: usize = 25;
const PATIENCE: Duration = Duration::from_secs(20);

/// Two pods of one node, and the node's maps.
#[derive(Debug)]
pub struct Probe {
    client: UdpSocket,
    server: UdpSocket,
    addresses: [u32; 2],
    endpoints: EndpointMap,
    policy: PolicyMap,
    epoch: Number,
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
    /// From the first pod to the second.
    pub fn new(node: &Node, client: &Pod, server: &Pod) -> Result<Self> {
        let addresses = [echo::place(client)?.1, echo::place(server)?.1].map(key);
        let open = || anyhow::Ok((endpoint_map()?, policy_map()?, Number::open("epoch_map")?));
        let (endpoints, policy, epoch) = node.enter(open)??;
        let (client, server) = (echo::udp(node, client)?, echo::udp(node, server)?);
        client.connect(server.local_addr()?)?;
        Ok(Self { client, server, addresses, endpoints, policy, epoch, sent: 0 })
    }

    /// What the maps say, asked as `to_pod` asks them.
    pub fn map_allows(&self) -> Result<bool> {
        let [source, destination] = self.addresses;
        let epoch = self.epoch.get()?;
        let identity = |address: u32| {
            let endpoint = self.endpoints.get(&address, 0)?.at(epoch);
            endpoint.map(|it| it.identity).context("a pod is no endpoint")
        };
        let (src_id, dst_id) = (identity(source)?, identity(destination)?);
        let has = |src_id| {
            let entry = self.policy.get(&PolicyKey { src_id, dst_id }, 0);
            entry.is_ok_and(|entry| entry.is_at(epoch))
        };
        Ok(has(src_id) || has(0))
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
