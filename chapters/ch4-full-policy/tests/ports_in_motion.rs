//! While policies with ports and blocks change, no packet is lost that all of them allow, and none passes
//! that none of them allows: to a pod, to the world, and through Services.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
mod hand;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/raw/mod.rs"]
mod raw;
#[path = "../../ch3-identity-policy/tests/scene/mod.rs"]
mod scene;

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hand::{Hand, SERVICE};
use lab::Sandbox;
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use raw::ip;
use scene::{OUTSIDE, eventually};

/// Packets to one port by one way, as fast as is polite.
struct Stream {
    client: UdpSocket,
    server: UdpSocket,
    to: (Ipv4Addr, u16),
}

impl Stream {
    fn new(s: &Hand, place: &Sandbox, port: u16, to: (Ipv4Addr, u16)) -> Self {
        let open = |place: &Sandbox, port: u16| {
            place.enter(&s.node, || UdpSocket::bind(("0.0.0.0", port)).unwrap()).unwrap()
        };
        let server = open(place, port);
        server.set_nonblocking(true).unwrap();
        setsockopt(&server, RcvBufForce, &(16 << 20)).unwrap();
        Self { client: open(s.client.sandbox.as_ref().unwrap(), 0), server, to }
    }

    /// How many it has sent when it is over, and how many have come by then.
    fn run(&self, over: &AtomicBool) -> [u64; 2] {
        let [mut sent, mut came] = [0, 0];
        while !over.load(Ordering::Relaxed) {
            self.client.send_to(b"?", self.to).unwrap();
            sent += 1;
            came += self.came();
            std::thread::sleep(Duration::from_micros(300));
        }
        [sent, came]
    }

    /// How many have come since it was asked last.
    fn came(&self) -> u64 {
        let mut count = 0;
        while self.server.recv(&mut [0]).is_ok() {
            count += 1;
        }
        count
    }
}

/// Runs changes beside streams to port 80, which loses nothing, and 81, where nothing comes. They go to the
/// server and outside, direct and by a Service that calls them 180 and 181, or 280 and 281.
fn beside_traffic(s: &Hand, first: &str, changes: impl FnOnce()) {
    let server = s.server.sandbox.clone().unwrap();
    let mut streams = Vec::new();
    for (place, target, offset) in [(&server, ip(&s.server), 100), (&s.outside, OUTSIDE, 200)] {
        for port in [80, 81] {
            s.service(port + offset, target, port + offset + 1000);
            streams.push((port == 80, Stream::new(s, place, port, (target, port))));
            let way = (SERVICE, port + offset);
            streams.push((port == 80, Stream::new(s, place, port + offset + 1000, way)));
        }
    }
    s.policy("client", first);
    for (is_open, stream) in &streams {
        if *is_open {
            eventually("the way is known", || {
                stream.client.send_to(b"?", stream.to).unwrap();
                std::thread::sleep(Duration::from_millis(5));
                stream.came() > 0
            });
        }
        // What was sent meanwhile comes in, or never.
        std::thread::sleep(Duration::from_millis(100));
        stream.came();
    }
    let over = AtomicBool::new(false);
    let sent: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = streams.iter().map(|(_, it)| scope.spawn(|| it.run(&over))).collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(changes));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        runs.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for ((is_open, stream), [sent, mut came]) in streams.iter().zip(sent) {
        let expected = if *is_open { sent } else { 0 };
        lab::wait_until(Duration::from_secs(2), || {
            came += stream.came();
            came >= expected && *is_open
        });
        assert!(sent > 100, "{:?}: too few were sent", stream.to);
        assert_eq!(came, expected, "{:?}: of {sent}", stream.to);
    }
}

/// The ports that all of them have, by whichever numbers their Services call them.
const ALWAYS: &str = "{ protocol: UDP, port: 80 }, { protocol: UDP, port: 1180 },
                      { protocol: UDP, port: 1280 }";
const HEAD: &str = "policyTypes: [Ingress, Egress]";

#[test]
fn r81_a_port_that_comes_and_goes_costs_the_others_no_packet() {
    let s = Hand::new();
    let with = |more: &str| format!("{HEAD}, egress: [{{ ports: [{ALWAYS}{more}] }}]");
    beside_traffic(&s, &with(""), || {
        for number in 0..500 {
            let port = [82, 1182][number % 2];
            s.policy("client", &with(&format!(", {{ protocol: UDP, port: {port} }}")));
            s.policy("client", &with(""));
        }
    });
}

#[test]
fn r80_one_packet_meets_the_old_policies_or_the_new_ones_whatever_they_are_made_of() {
    let s = Hand::new();
    let ports = format!("ports: [{ALWAYS}]");
    let to = |to: &str| format!("{HEAD}, egress: [{{ to: [{to}], {ports} }}]");
    let (pod, outside) = (ip(&s.server), "{ ipBlock: { cidr: 192.0.2.2/32 } }");
    let both = [
        to(&format!("{{ podSelector: {{ matchLabels: {{ app: server }} }} }}, {outside}")),
        to(&format!("{{ ipBlock: {{ cidr: {pod}/32 }} }}, {outside}")),
        to("{ ipBlock: { cidr: 0.0.0.0/0, except: [198.51.100.0/24] } }"),
        to("{ ipBlock: { cidr: 10.0.0.0/8 } }, { ipBlock: { cidr: 128.0.0.0/1 } }"),
        format!("{HEAD}, egress: [{{ {ports} }}]"),
        format!(
            "{HEAD}, egress: [{{ ports: [{{ protocol: UDP, port: 80 }}, \
                 {{ protocol: UDP, port: 1180, endPort: 1180 }}] }}, \
                 {{ ports: [{{ protocol: UDP, port: 1270, endPort: 1280 }}] }}]"
        ),
    ];
    beside_traffic(&s, &both[0], || {
        for number in 0..180 {
            s.policy("client", &both[number % both.len()]);
            // And of others, whose sets come and go.
            if number % 10 == 0 {
                let port = 2000 + number;
                s.policy("other", &format!("ingress: [{{ ports: [{{ port: {port} }}] }}]"));
            }
        }
    });
}
