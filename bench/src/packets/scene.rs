//! The pods and programs of one node, and the packets that all chapters know.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use ch3_identity_policy::maps::endpoint;
use lab::Pod;

use super::cases::{Case, Mode};
use super::maps::{ISOLATED, LOCAL, PAIR, WILDCARD, WORLD, remote};
use crate::frames::{ACK, SYN, tcp};
use crate::test_run::{Meta, Program};

/// What `from_pod` writes into the mark beside the identity.
const MARK: u32 = 0x0f00;
const UNDECIDED: u32 = 0x1000;

/// A program at its place.
pub struct Hook {
    /// In the tables.
    pub name: &'static str,
    /// The program.
    pub program: Arc<Program>,
    /// What it is told with a packet.
    pub meta: Meta,
}

/// A pod.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its address.
    pub address: Ipv4Addr,
    ifindex: u32,
    identity: u32,
}

/// The pods of one node, and its hooks.
pub struct Scene {
    /// In the order of [`LOCAL`].
    pub places: [Place; LOCAL.len()],
    from_pod: Arc<Program>,
    to_pod: Arc<Program>,
}

/// A pinned program.
pub fn pinned(name: &str) -> Result<Arc<Program>> {
    Program::pinned(&format!("/sys/fs/bpf/ebpfcni-{name}")).map(Arc::new)
}

impl Place {
    /// With the mark that `from_pod` sets on what the pod sends.
    pub fn sent(self, ifindex: u32) -> Meta {
        let undecided = if self.identity == ISOLATED { UNDECIDED } else { 0 };
        Meta {
            mark: self.identity << 16 | MARK | undecided,
            ingress_ifindex: self.ifindex,
            ifindex,
        }
    }
}

impl Scene {
    /// To be called inside the node, when the maps are ours.
    pub fn new(pods: &[Pod; LOCAL.len()]) -> Result<Self> {
        let place = |(pod, identity): (&Pod, u32)| {
            let address = pod.ip.context("a pod has no address")?;
            let ifindex = endpoint(address)?.context("a pod is no endpoint")?.ifindex;
            anyhow::Ok(Place { address, ifindex, identity })
        };
        let places = pods.iter().zip(LOCAL).map(place).collect::<Result<Vec<_>>>()?;
        let places = places.try_into().ok().context("a pod is missing")?;
        Ok(Self { places, from_pod: pinned("from-pod")?, to_pod: pinned("to-pod")? })
    }

    /// Where a pod sends.
    pub fn from(&self, pod: Place) -> Hook {
        let meta = Meta { ifindex: pod.ifindex, ..Meta::default() };
        Hook { name: "from_pod", program: self.from_pod.clone(), meta }
    }

    /// Where a pod receives from another one.
    pub fn to(&self, pod: Place, sender: Place) -> Hook {
        Hook { name: "to_pod", program: self.to_pod.clone(), meta: sender.sent(pod.ifindex) }
    }

    /// From outside the node, where nobody sets a mark.
    pub fn to_from_outside(&self, pod: Place) -> Hook {
        let meta = Meta { mark: 0, ingress_ifindex: 1, ifindex: pod.ifindex };
        Hook { name: "to_pod", program: self.to_pod.clone(), meta }
    }

    /// The cases, with their connections made. `endpoints` is the size of `endpoint_map`; `first`:
    /// not one of the new connections that were opened before.
    pub fn cases(&self, endpoints: u32, first: u32) -> Result<Vec<Case>> {
        let [client, server, open, ..] = self.places;
        let empty = Arc::new(Program::empty()?);
        let empty = Hook { name: "empty", program: empty, meta: self.from(client).meta };

        let from_client = |to: Ipv4Addr, flags| tcp((client.address, 40_000), (to, 80), flags);
        let to_client = |from: Ipv4Addr| tcp((from, 80), (client.address, 40_000), ACK);
        let to_server = |flags| from_client(server.address, flags);
        let known = "known connection";
        let denied_early = |name| Case::new(name, &self.from(client), from_client(remote(0), ACK));
        let strangers = tcp((open.address, 40_000), (server.address, 80), ACK);
        let denied = |name| Case::new(name, &self.to(server, open), strangers.clone());
        // Each connection is opened, and answered, at both ends.
        open_all([
            (self.from(client), to_server(SYN)),
            (self.to(server, client), to_server(SYN)),
            (self.from(server), to_client(server.address)),
            (self.to(client, server), to_client(server.address)),
            (self.from(client), from_client(open.address, SYN)),
            (self.to(open, client), from_client(open.address, SYN)),
            (self.from(open), to_client(open.address)),
            (self.to(client, open), to_client(open.address)),
            (self.from(client), from_client(WORLD, SYN)),
            (self.to_from_outside(client), to_client(WORLD)),
        ])?;
        Ok(vec![
            Case::new("any", &empty, to_server(ACK)),
            Case::new(known, &self.from(client), to_server(ACK)),
            Case::new(known, &self.to(server, client), to_server(ACK)).counts(PAIR),
            Case::new("its answer", &self.from(server), to_client(server.address)),
            Case::new("its answer", &self.to(client, server), to_client(server.address)),
            Case::new("known, not isolated", &self.from(client), from_client(open.address, ACK)),
            Case::new(
                "known, not isolated",
                &self.to(open, client),
                from_client(open.address, ACK),
            )
            .counts(WILDCARD),
            Case::new("to the world", &self.from(client), from_client(WORLD, ACK)),
            Case::new("the world's answer", &self.to_from_outside(client), to_client(WORLD)),
            denied_early("denied").denied(Mode::InARow),
            denied("denied").denied(Mode::InARow),
            denied_early("denied, the buffer is full").denied(Mode::Unread),
            denied("denied, the buffer is full").denied(Mode::Unread),
            Case::new("any", &empty, to_server(SYN)).opens(0, first),
            Case::new("new connection", &self.from(client), to_server(SYN)).opens(0, first),
            Case::new("new connection", &self.to(server, client), to_server(SYN))
                .opens(0, first)
                .counts(PAIR),
            Case::new("new, each from another pod", &self.to_from_outside(server), to_server(SYN))
                .opens(endpoints - LOCAL.len() as u32, first),
        ])
    }
}

/// Runs each of these once.
pub fn open_all<const N: usize>(packets: [(Hook, Vec<u8>); N]) -> Result<()> {
    for (hook, frame) in packets {
        Case::new("opening a connection", &hook, frame).run(1)?;
    }
    Ok(())
}
