//! Datagrams between all pods, all the time: direct, by a Service, and by a Service whose packets
//! the node gives its own address. Each carries the round in which it was sent.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lab::{Node, Pod};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

/// Who sends to whom, to which port and by which way.
pub struct Flow {
    socket: UdpSocket,
    /// Numbers of pods.
    pub from: usize,
    pub to: usize,
    /// The pod's, not the Service's.
    pub port: u16,
    pub way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Direct,
    Service,
    /// By a Service, and the node gives the packets its own address.
    Hidden,
}

/// All flows of some pods, and what has become of their datagrams.
pub struct Streams {
    flows: Vec<Flow>,
    servers: Vec<UdpSocket>,
    /// For each round, which flows are allowed.
    allowed: Mutex<Vec<Vec<bool>>>,
    round: AtomicU32,
    turns: AtomicU64,
    over: AtomicBool,
    /// For each round and flow, how many were sent and how many have arrived.
    counts: Mutex<[Vec<Vec<u32>>; 2]>,
    wrong: Mutex<Vec<String>>,
    names: Vec<String>,
}

impl Streams {
    /// Opens all sockets. Nobody is isolated yet: the first datagrams arrive.
    pub fn open(node: &Node, pods: &[Pod], ports: &[u16]) -> Self {
        let ip = |pod: &Pod| pod.ip.unwrap();
        let service = |number: usize| Ipv4Addr::new(10, 96, 0, 10 + number as u8);
        // Services have ports of their own.
        let ways = [(Way::Direct, 0), (Way::Service, 1000), (Way::Hidden, 2000)];
        let rules = |(number, port): (usize, u16)| {
            let (pod, service, [one, other]) =
                (ip(&pods[number]), service(number), [port + 1000, port + 2000]);
            format!(
                "nft add rule ip streams pre ip daddr {service} udp dport {other} ct mark set 1
                 nft add rule ip streams pre ip daddr {service} udp dport '{{ {one}, {other} }}' dnat to {pod}:{port}\n"
            )
        };
        let targets = (0..pods.len()).flat_map(|pod| ports.iter().map(move |port| (pod, *port)));
        node.sh(&format!(
            "nft add table ip streams
             nft 'add chain ip streams pre {{ type nat hook prerouting priority -100; }}'
             nft 'add chain ip streams post {{ type nat hook postrouting priority 99; }}'
             nft add rule ip streams post ct mark 1 masquerade\n{}",
            targets.clone().map(rules).collect::<String>()
        ))
        .unwrap();
        let open = |pod: &Pod, port: u16| {
            let open = || UdpSocket::bind(("0.0.0.0", port)).unwrap();
            pod.sandbox.as_ref().unwrap().enter(node, open).unwrap()
        };
        let serve = |(pod, port): (usize, u16)| {
            let socket = open(&pods[pod], port);
            socket.set_nonblocking(true).unwrap();
            setsockopt(&socket, RcvBufForce, &(32 << 20)).unwrap();
            socket
        };
        let mut flows = Vec::new();
        for from in 0..pods.len() {
            for (to, port) in targets.clone().filter(|target| target.0 != from) {
                for (way, more) in ways {
                    let socket = open(&pods[from], 0);
                    let address = if way == Way::Direct { ip(&pods[to]) } else { service(to) };
                    socket.connect((address, port + more)).unwrap();
                    flows.push(Flow { socket, from, to, port, way });
                }
            }
        }
        let servers: Vec<_> = targets.map(serve).collect();
        let names = pods.iter().map(|it| format!("{}/{}", it.spec.namespace, it.spec.name));
        let streams = Self {
            allowed: Mutex::new(vec![vec![true; flows.len()]]),
            flows,
            servers,
            round: AtomicU32::new(0),
            turns: AtomicU64::new(0),
            over: AtomicBool::new(false),
            counts: Mutex::default(),
            wrong: Mutex::default(),
            names: names.collect(),
        };
        streams.begin(|_| true);
        streams.warm_up();
        streams
    }

    /// Until every way is known, datagrams may be lost.
    fn warm_up(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        for flow in 0..self.flows.len() {
            let arrived = || self.counts.lock().unwrap()[1][1][flow];
            while arrived() == 0 {
                assert!(Instant::now() < deadline, "{} never arrives", self.name(flow));
                self.send(flow);
                self.receive();
            }
        }
        self.counts.lock().unwrap().iter_mut().for_each(|it| it[1].fill(0));
        std::thread::sleep(Duration::from_millis(50)); // what was repeated comes in
        self.receive();
        self.counts.lock().unwrap()[1][1].fill(0);
    }

    /// A round begins, in which the world becomes one that allows these flows.
    pub fn begin(&self, is_allowed: impl Fn(&Flow) -> bool) {
        self.allowed.lock().unwrap().push(self.flows.iter().map(is_allowed).collect());
        for counts in self.counts.lock().unwrap().iter_mut() {
            counts.resize(self.round.load(Ordering::SeqCst) as usize + 2, Vec::new());
            counts.last_mut().unwrap().resize(self.flows.len(), 0);
        }
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until each flow has sent some more datagrams.
    pub fn let_pass(&self, count: u64) {
        let until = self.turns.load(Ordering::SeqCst) + count;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.turns.load(Ordering::SeqCst) < until {
            assert!(Instant::now() < deadline, "nobody sends");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Runs `rounds` beside the traffic. Returns how many datagrams were sent, and what was wrong.
    pub fn run(&self, rounds: impl FnOnce()) -> (u64, Vec<String>) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !self.over.load(Ordering::SeqCst) {
                    (0..self.flows.len()).for_each(|flow| self.send(flow));
                    self.turns.fetch_add(1, Ordering::SeqCst);
                }
            });
            scope.spawn(|| {
                while !self.over.load(Ordering::SeqCst) {
                    self.receive();
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(rounds));
            self.over.store(true, Ordering::SeqCst);
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        self.find_lost();
        let sent = self.counts.lock().unwrap()[0].iter().flatten().map(|it| u64::from(*it)).sum();
        (sent, std::mem::take(&mut *self.wrong.lock().unwrap()))
    }

    fn send(&self, flow: usize) {
        let round = self.round.load(Ordering::SeqCst);
        let stamp = (u64::from(round) << 16 | flow as u64).to_be_bytes();
        self.flows[flow].socket.send(&stamp).unwrap();
        // Else it is not known which worlds it has met.
        if self.round.load(Ordering::SeqCst) == round {
            self.counts.lock().unwrap()[0][round as usize][flow] += 1;
        }
    }

    /// What has arrived must have been allowed by some world between its sending and now.
    fn receive(&self) {
        let mut stamp = [0; 8];
        for server in &self.servers {
            while server.recv(&mut stamp).is_ok() {
                let stamp = u64::from_be_bytes(stamp);
                let (round, flow) = ((stamp >> 16) as usize, (stamp & 0xffff) as usize);
                self.counts.lock().unwrap()[1][round][flow] += 1;
                if !self.worlds(round - 1, usize::MAX, flow).iter().any(|allows| *allows) {
                    let what = format!("round {round}: {} was let through", self.name(flow));
                    self.wrong.lock().unwrap().push(what);
                }
            }
        }
    }

    /// What did not arrive must have been denied by some world of that time. Nothing is missing
    /// that is only late.
    fn find_lost(&self) {
        let rounds = self.round.load(Ordering::SeqCst) as usize;
        let always = |round: usize, flow: usize| {
            let worlds = self.worlds(round - 1, round + 1, flow);
            worlds.iter().all(|allows| *allows)
        };
        let count =
            |what: usize, round: usize, flow: usize| self.counts.lock().unwrap()[what][round][flow];
        for round in 1..rounds {
            for flow in (0..self.flows.len()).filter(|flow| always(round, *flow)) {
                let deadline = Instant::now() + Duration::from_secs(2);
                while count(1, round, flow) < count(0, round, flow) && Instant::now() < deadline {
                    self.receive();
                }
                let lost = count(0, round, flow).saturating_sub(count(1, round, flow));
                if lost > 0 {
                    let what = format!("round {round}: {lost} of {} were lost", self.name(flow));
                    self.wrong.lock().unwrap().push(what);
                }
            }
        }
    }

    /// What the worlds of these rounds say to a flow.
    fn worlds(&self, first: usize, last: usize, flow: usize) -> Vec<bool> {
        let allowed = self.allowed.lock().unwrap();
        let worlds = &allowed[first..allowed.len().min(last.saturating_add(1))];
        worlds.iter().map(|world| world[flow]).collect()
    }

    fn name(&self, flow: usize) -> String {
        let Flow { from, to, port, way, .. } = &self.flows[flow];
        format!("{} > {} {port} ({way:?})", self.names[*from], self.names[*to])
    }
}
