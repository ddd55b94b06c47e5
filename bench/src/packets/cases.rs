//! Which packets, where, and what is to become of them.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::maps::{PolicyKey, endpoint};
use lab::Pod;

use super::maps::{CLIENT, OPEN, PAIR, SERVER, WILDCARD, remote};
use crate::frames::{ACK, SYN, tcp};
use crate::test_run::{Meta, Program};

const PASS: u32 = 0;
const DROP: u32 = 2;
/// Nobody's address: the world.
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// How a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The same packet again and again.
    InARow,
    /// The same, while nobody reads the events and the ring buffer is full.
    Unread,
    /// Each packet is another one, and opens a connection.
    OneByOne,
}

/// One kind of packet at one hook.
#[derive(Debug)]
pub struct Case {
    /// In the table.
    pub name: &'static str,
    /// `from_pod`, `to_pod` or the empty program.
    pub hook: &'static str,
    /// How it is measured.
    pub mode: Mode,
    /// Each packet is told of.
    pub tells: bool,
    /// The entry that counts it.
    pub counts: Option<PolicyKey>,
    program: Rc<Program>,
    meta: Meta,
    frame: Vec<u8>,
    verdict: u32,
    sources: u32,
    /// How many connections it has opened: the next one is another.
    opened: Cell<u32>,
}

impl Case {
    fn new(name: &'static str, hook: &Hook, frame: Vec<u8>) -> Self {
        Self {
            name,
            hook: hook.name,
            mode: Mode::InARow,
            tells: false,
            counts: None,
            program: hook.program.clone(),
            meta: hook.meta,
            frame,
            verdict: PASS,
            sources: 0,
            opened: Cell::new(0),
        }
    }

    fn denied(self, mode: Mode) -> Self {
        Self { verdict: DROP, tells: mode == Mode::InARow, mode, ..self }
    }

    /// `sources`: from so many other pods, or always from the same. `first`: not one of those
    /// that were opened before.
    fn opens(self, sources: u32, first: u32) -> Self {
        let (tells, opened) = (self.hook == "to_pod", Cell::new(first));
        Self { mode: Mode::OneByOne, tells, sources, opened, ..self }
    }

    fn counts(self, entry: PolicyKey) -> Self {
        Self { counts: Some(entry), ..self }
    }

    /// One measurement. A wrong verdict is an error.
    pub fn run(&self, repeat: usize) -> Result<Duration> {
        let mut frame = self.frame.clone();
        if self.mode == Mode::OneByOne {
            let nth = self.opened.replace(self.opened.get() + 1);
            frame[34..36].copy_from_slice(&(10_000 + (nth % 50_000) as u16).to_be_bytes());
            frame[36..38].copy_from_slice(&(1_000 + (nth / 50_000) as u16).to_be_bytes());
            if self.sources > 0 {
                frame[26..30].copy_from_slice(&remote(nth % self.sources).octets());
            }
        }
        let (verdict, time) = self.program.run(&frame, self.meta, repeat).context(self.name)?;
        ensure!(verdict == self.verdict, "{}: the verdict is {verdict}", self.name);
        Ok(time)
    }
}

/// A program at a pod's veth.
struct Hook {
    name: &'static str,
    program: Rc<Program>,
    meta: Meta,
}

/// A pod: its address, its veth, its identity.
#[derive(Clone, Copy)]
struct Place(Ipv4Addr, u32, u32);

/// The hooks of one node.
struct Hooks {
    from_pod: Rc<Program>,
    to_pod: Rc<Program>,
}

impl Hooks {
    fn from(&self, pod: Place) -> Hook {
        let meta = Meta { ifindex: pod.1, ..Meta::default() };
        Hook { name: "from_pod", program: self.from_pod.clone(), meta }
    }

    /// With the mark that `from_pod` of the sender has set.
    fn to(&self, pod: Place, sender: Place) -> Hook {
        let mark = sender.2 << 16 | 0x0f00;
        let meta = Meta { mark, ingress_ifindex: sender.1, ifindex: pod.1 };
        Hook { name: "to_pod", program: self.to_pod.clone(), meta }
    }

    /// From outside the node, where nobody sets a mark.
    fn to_from_outside(&self, pod: Place) -> Hook {
        let meta = Meta { mark: 0, ingress_ifindex: 1, ifindex: pod.1 };
        Hook { name: "to_pod", program: self.to_pod.clone(), meta }
    }
}

/// All cases, with their connections made. `endpoints` is the size of `endpoint_map`.
pub fn all(pods: &[Pod; 3], endpoints: u32) -> Result<Vec<Case>> {
    let first = endpoints * 1_000; // connections live longer than one size is looked at
    let place = |pod: &Pod, identity| {
        let address = pod.ip.context("a pod has no address")?;
        Ok::<_, anyhow::Error>(Place(
            address,
            endpoint(address)?.context("a pod is no endpoint")?.ifindex,
            identity,
        ))
    };
    let client = place(&pods[0], CLIENT)?;
    let server = place(&pods[1], SERVER)?;
    let open = place(&pods[2], OPEN)?;
    let pinned = |name| Program::pinned(&format!("/sys/fs/bpf/ebpfcni-{name}")).map(Rc::new);
    let hooks = Hooks { from_pod: pinned("from-pod")?, to_pod: pinned("to-pod")? };
    let empty = Rc::new(Program::empty()?);
    let empty = Hook { name: "empty", program: empty, meta: hooks.from(client).meta };

    let from_client = |to: Ipv4Addr, flags| tcp((client.0, 40_000), (to, 80), flags);
    let to_client = |from: Ipv4Addr| tcp((from, 80), (client.0, 40_000), ACK);
    let known = "known connection";
    let denied_early = |name| Case::new(name, &hooks.from(client), from_client(remote(0), ACK));
    let denied =
        |name| Case::new(name, &hooks.to(server, open), tcp((open.0, 40_000), (server.0, 80), ACK));
    let cases = vec![
        Case::new("any", &empty, from_client(server.0, ACK)),
        Case::new(known, &hooks.from(client), from_client(server.0, ACK)),
        Case::new(known, &hooks.to(server, client), from_client(server.0, ACK)).counts(PAIR),
        Case::new("its answer", &hooks.from(server), to_client(server.0)),
        Case::new("its answer", &hooks.to(client, server), to_client(server.0)),
        Case::new("known, not isolated", &hooks.from(client), from_client(open.0, ACK)),
        Case::new("known, not isolated", &hooks.to(open, client), from_client(open.0, ACK))
            .counts(WILDCARD),
        Case::new("to the world", &hooks.from(client), from_client(WORLD, ACK)),
        Case::new("the world's answer", &hooks.to_from_outside(client), to_client(WORLD)),
        denied_early("denied").denied(Mode::InARow),
        denied("denied").denied(Mode::InARow),
        denied_early("denied, the buffer is full").denied(Mode::Unread),
        denied("denied, the buffer is full").denied(Mode::Unread),
        Case::new("any", &empty, from_client(server.0, SYN)).opens(0, first),
        Case::new("new connection", &hooks.from(client), from_client(server.0, SYN))
            .opens(0, first),
        Case::new("new connection", &hooks.to(server, client), from_client(server.0, SYN))
            .opens(0, first)
            .counts(PAIR),
        Case::new(
            "new, each from another pod",
            &hooks.to_from_outside(server),
            from_client(server.0, SYN),
        )
        .opens(endpoints - 3, first),
    ];

    // Each connection is opened, and answered, at both ends.
    for (hook, frame) in [
        (hooks.from(client), from_client(server.0, SYN)),
        (hooks.to(server, client), from_client(server.0, SYN)),
        (hooks.from(server), to_client(server.0)),
        (hooks.to(client, server), to_client(server.0)),
        (hooks.from(client), from_client(open.0, SYN)),
        (hooks.to(open, client), from_client(open.0, SYN)),
        (hooks.from(open), to_client(open.0)),
        (hooks.to(client, open), to_client(open.0)),
        (hooks.from(client), from_client(WORLD, SYN)),
        (hooks.to_from_outside(client), to_client(WORLD)),
    ] {
        Case::new("opening a connection", &hook, frame).run(1)?;
    }
    Ok(cases)
}
