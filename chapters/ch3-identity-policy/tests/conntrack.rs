//! What is remembered of a connection, for how long, and whom that lets in.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod raw;

use std::time::Duration;

use lab::{Node, Pod, PodSpec};
use nix::time::{ClockId, clock_gettime};
use plugin::ready_node;
use raw::{
    ACK, CtEntry, CtKey, FIN, ICMP, RST, SYN, TCP, UDP, arrives, frame, icmp, ip, ipv4, mac, maps,
    tcp, udp, unique,
};

/// `asks` is isolated: only answers get in. `answers` is not.
const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: nobody }
spec: { podSelector: { matchLabels: { app: asks } } }
";

struct Scene {
    node: Node,
    asks: Pod,
    answers: Pod,
}

const MAPS: [&str; 2] = ["ct_new_map", "ct_established_map"];

impl Scene {
    fn new() -> Self {
        let node = ready_node();
        node.apply(POLICY).unwrap();
        let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
        let [asks, answers] = ["asks", "answers"].map(pod);
        Self { node, asks, answers }
    }

    fn question(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let packet = ipv4(ip(&self.asks), ip(&self.answers), protocol, (&[], 0), payload);
        unique(frame(mac(ip(&self.answers)), mac(ip(&self.asks)), 0x0800, &packet))
    }

    fn answer(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let packet = ipv4(ip(&self.answers), ip(&self.asks), protocol, (&[], 0), payload);
        unique(frame(mac(ip(&self.asks)), mac(ip(&self.answers)), 0x0800, &packet))
    }

    /// Sends a question that must arrive.
    #[track_caller]
    fn ask(&self, protocol: u8, payload: &[u8]) {
        let question = self.question(protocol, payload);
        assert!(arrives(&self.node, &self.asks, &self.answers, &question));
    }

    /// Does an answer arrive?
    fn is_answered(&self, protocol: u8, payload: &[u8]) -> bool {
        arrives(&self.node, &self.answers, &self.asks, &self.answer(protocol, payload))
    }

    /// The entries of a protocol in a map.
    fn entries(&self, map: &str, protocol: u8) -> Vec<(CtKey, CtEntry)> {
        let map = self.node.enter(|| maps::ct_map(map).unwrap()).unwrap();
        let all = map.iter().map(Result::unwrap);
        all.filter(|(key, _)| key.proto == u32::from(protocol)).collect()
    }

    /// Seconds that the entries of the questions with this port have still to live, in both maps:
    /// the kernel answers some questions itself.
    fn lives(&self, protocol: u8, port: u16) -> Vec<u64> {
        let now =
            Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64;
        let entries = MAPS.iter().flat_map(|map| self.entries(map, protocol));
        let ours = entries.filter(|(key, _)| key.sport == port.to_be());
        ours.map(|(_, it)| it.expires.saturating_sub(now).div_ceil(1_000_000_000)).collect()
    }

    /// Changes all entries, as time would.
    fn change(&self, change: impl Fn(&mut CtEntry) + Sync) {
        for name in MAPS {
            let mut map = self.node.enter(|| maps::ct_map(name).unwrap()).unwrap();
            for (key, mut entry) in map.iter().map(Result::unwrap).collect::<Vec<_>>() {
                change(&mut entry);
                map.insert(key, entry, 0).unwrap();
            }
        }
    }
}

#[test]
fn a_connection_lives_as_long_as_its_protocol_needs() {
    let s = Scene::new();
    for (protocol, payload, port, seconds) in
        [(TCP, tcp(1, 80, SYN), 1, 3600), (UDP, udp(2, 80), 2, 60), (ICMP, icmp(8, 3, &[]), 3, 10)]
    {
        s.ask(protocol, &payload);
        // Each of the two veths keeps its own view of it.
        assert_eq!(s.lives(protocol, port), [seconds; 2], "protocol {protocol}");
    }
    for (flags, port) in [(FIN | ACK, 4), (RST, 5)] {
        s.ask(TCP, &tcp(port, 80, SYN));
        s.ask(TCP, &tcp(port, 80, flags));
        assert_eq!(s.lives(TCP, port), [10; 2], "flags {flags}");
        s.ask(TCP, &tcp(port, 80, SYN));
        assert_eq!(s.lives(TCP, port), [3600; 2], "opened anew");
    }
}

#[test]
fn an_answer_makes_it_established_and_does_not_keep_it_alive() {
    let s = Scene::new();
    s.ask(UDP, &udp(1, 53));
    assert_eq!((s.entries(MAPS[0], UDP).len(), s.entries(MAPS[1], UDP).len()), (2, 0));
    s.change(|entry| entry.expires -= 30_000_000_000);
    assert!(s.is_answered(UDP, &udp(53, 1)));
    assert_eq!((s.entries(MAPS[0], UDP).len(), s.entries(MAPS[1], UDP).len()), (0, 2));
    assert!(s.lives(UDP, 1).iter().all(|lives| *lives <= 30));
    s.ask(UDP, &udp(1, 53));
    assert_eq!(s.lives(UDP, 1), [60; 2], "the next question does");
}

#[test]
fn the_answerers_end_is_the_connections_end() {
    let s = Scene::new();
    s.ask(TCP, &tcp(1, 80, SYN));
    assert!(s.is_answered(TCP, &tcp(80, 1, SYN | ACK)));
    assert_eq!(s.lives(TCP, 1), [3600; 2]);
    assert!(s.is_answered(TCP, &tcp(80, 1, RST)));
    assert_eq!(s.lives(TCP, 1), [10; 2]);
}

#[test]
fn after_its_time_nobody_may_answer() {
    let s = Scene::new();
    for asked_before in [false, true] {
        s.ask(UDP, &udp(1, 53));
        assert!(s.is_answered(UDP, &udp(53, 1)), "in time");
        if asked_before {
            s.ask(UDP, &udp(1, 53));
        }
        s.change(|entry| entry.expires = 1);
        assert!(!s.is_answered(UDP, &udp(53, 1)), "too late");
    }
    s.ask(UDP, &udp(1, 53));
    assert!(s.is_answered(UDP, &udp(53, 1)), "asked again");
}

#[test]
fn who_gets_an_address_later_answers_nothing() {
    let s = Scene::new();
    s.ask(UDP, &udp(1, 53));
    assert!(s.is_answered(UDP, &udp(53, 1)));
    for which in [0, 1] {
        // The one end, or the other, belongs to somebody else now.
        s.ask(UDP, &udp(1, 53));
        s.change(|entry| {
            let generations = [&mut entry.src_generation, &mut entry.dst_generation];
            *generations.into_iter().nth(which).unwrap() ^= 1;
        });
        assert!(!s.is_answered(UDP, &udp(53, 1)), "generation {which}");
    }
}

#[test]
fn a_flood_that_nobody_answers_leaves_what_is_established() {
    let s = Scene::new();
    s.ask(UDP, &udp(1, 53));
    assert!(s.is_answered(UDP, &udp(53, 1)));
    // More than the map of new connections holds.
    let pod = s.asks.sandbox.as_ref().unwrap();
    pod.enter(&s.node, || {
        let raw = raw::RawSocket::on("eth0");
        for port in 0..80_000u32 {
            let payload = udp((port % 40_000) as u16 + 1000, 1 + (port / 40_000) as u16);
            let packet = ipv4(ip(&s.asks), ip(&s.answers), UDP, (&[], 0), &payload);
            raw.send(&frame(mac(ip(&s.answers)), mac(ip(&s.asks)), 0x0800, &packet));
        }
    })
    .unwrap();
    assert!(s.entries(MAPS[0], UDP).len() > 50_000, "the flood was not large");
    assert!(s.is_answered(UDP, &udp(53, 1)));
}
