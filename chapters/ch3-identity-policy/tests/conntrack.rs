//! What is remembered of a connection, for how long, and whom that lets in.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod raw;

use std::time::Duration;

use lab::{Node, Pod, PodSpec};
use nix::time::{ClockId, clock_gettime};
use plugin::ready_node;
use raw::{
    ACK, CtEntry, CtKey, FIN, ICMP, RST, SYN, TCP, Tables, UDP, arrives, frame, icmp, ip, ipv4,
    mac, tcp, udp, unique,
};

/// Number of the protocol.
const SCTP: u8 = 132;
const DEADLINE: Duration = Duration::from_secs(10);

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

    /// The entries of a protocol.
    fn entries(&self, protocol: u8) -> Vec<(CtKey, CtEntry)> {
        let tables = self.node.enter(|| Tables::open().unwrap().all().unwrap()).unwrap();
        let all = tables.iter().flat_map(|table| table.iter().map(Result::unwrap));
        all.filter(|(key, _)| key.proto == u32::from(protocol)).collect()
    }

    /// The seconds that the connection of the questions with this port has still to live, as they
    /// were when it was seen last: on a busy machine a few have gone by.
    #[track_caller]
    fn lives(&self, protocol: u8, port: u16) -> u64 {
        let now =
            Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64;
        let entries = self.entries(protocol).into_iter();
        let ours: Vec<_> = entries.filter(|(key, _)| key.sport == port.to_be()).collect();
        assert_eq!(ours.len(), 1, "both veths keep it in the table of who asks");
        let left = ours[0].1.expires.saturating_sub(now).div_ceil(1_000_000_000);
        [10, 60, 8000].into_iter().find(|it| (it * 2 / 3..=*it).contains(&left)).unwrap_or(left)
    }

    /// Changes all entries, as time would.
    fn change(&self, change: impl Fn(&mut CtEntry) + Sync) {
        for mut table in self.node.enter(|| Tables::open().unwrap().all().unwrap()).unwrap() {
            for (key, mut entry) in table.iter().map(Result::unwrap).collect::<Vec<_>>() {
                change(&mut entry);
                table.insert(key, entry, 0).unwrap();
            }
        }
    }
}

/// The first eight bytes of SCTP's header and its checksum; nobody looks at what follows.
fn sctp(from: u16, to: u16) -> Vec<u8> {
    [&[from, to].map(u16::to_be_bytes).concat()[..], &[0; 8]].concat()
}

#[test]
fn a_connection_lives_as_long_as_its_protocol_needs() {
    let s = Scene::new();
    for (protocol, question, answer, [new, answered]) in [
        (TCP, tcp(1, 80, SYN), tcp(80, 1, SYN | ACK), [60, 8000]),
        (SCTP, sctp(1, 80), sctp(80, 1), [60, 8000]),
        (UDP, udp(1, 80), udp(80, 1), [60, 60]),
        (ICMP, icmp(8, 1, &[]), icmp(0, 1, &[]), [10, 10]),
    ] {
        s.ask(protocol, &question);
        // The kernel behind may have answered already.
        assert!([new, answered].contains(&s.lives(protocol, 1)), "protocol {protocol}");
        assert!(s.is_answered(protocol, &answer));
        assert_eq!(s.lives(protocol, 1), answered, "protocol {protocol}");
    }
}

#[test]
fn an_answer_keeps_it_alive_for_who_listens_only() {
    let s = Scene::new();
    s.ask(UDP, &udp(1, 53));
    for _ in 0..3 {
        s.change(|entry| entry.expires -= 50_000_000_000);
        assert!(s.is_answered(UDP, &udp(53, 1)));
        assert_eq!(s.lives(UDP, 1), 60);
    }
}

#[test]
fn who_may_not_be_asked_any_more_does_not_keep_it_alive() {
    let s = Scene::new();
    s.ask(UDP, &udp(1, 53));
    assert!(s.is_answered(UDP, &udp(53, 1)));
    let deny = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: not-to-it }
spec: { podSelector: { matchLabels: { app: answers } } }
";
    s.node.apply(deny).unwrap();
    s.node.wait_until_in_force(DEADLINE).unwrap();
    s.change(|entry| entry.expires -= 30_000_000_000);
    assert!(!s.is_answered(UDP, &udp(53, 1)));
    assert!(s.lives(UDP, 1) <= 30);
}

#[test]
fn a_connection_ends_when_both_ends_have_closed_it() {
    let s = Scene::new();
    for (port, ends) in [(1, [true, false]), (2, [false, true])] {
        s.ask(TCP, &tcp(port, 80, SYN));
        assert!(s.is_answered(TCP, &tcp(80, port, SYN | ACK)));
        for (is_last, is_openers) in [(false, ends[0]), (true, ends[1])] {
            match is_openers {
                true => s.ask(TCP, &tcp(port, 80, FIN | ACK)),
                false => assert!(s.is_answered(TCP, &tcp(80, port, FIN | ACK))),
            }
            assert_eq!(s.lives(TCP, port), if is_last { 10 } else { 8000 });
        }
        s.ask(TCP, &tcp(port, 80, SYN));
        assert_eq!(s.lives(TCP, port), 60, "opened anew");
    }
}

#[test]
fn a_reset_is_the_end_whoever_sends_it() {
    let s = Scene::new();
    for (port, by_opener) in [(1, true), (2, false)] {
        s.ask(TCP, &tcp(port, 80, SYN));
        assert!(s.is_answered(TCP, &tcp(80, port, SYN | ACK)));
        match by_opener {
            true => s.ask(TCP, &tcp(port, 80, RST)),
            false => assert!(s.is_answered(TCP, &tcp(80, port, RST))),
        }
        assert_eq!(s.lives(TCP, port), 10);
    }
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

/// More connections than a table has room for.
const FLOOD: u32 = 10_000;

/// A flood from one pod to another, each packet a connection of its own.
fn flood(s: &Scene, from: &Pod, to: &Pod, packet: impl Fn(u16) -> (u8, Vec<u8>) + Sync) {
    let send = || {
        let raw = raw::RawSocket::on("eth0");
        for number in 0..FLOOD {
            let (protocol, payload) = packet(number as u16 + 1000);
            let packet = ipv4(ip(from), ip(to), protocol, (&[], 0), &payload);
            raw.send(&frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet));
        }
    };
    from.sandbox.as_ref().unwrap().enter(&s.node, send).unwrap();
}

/// Whoever floods, whom, and whether it is answered: others' connections are not in its table.
#[test]
fn no_pod_ends_another_ones_connection_by_a_flood() {
    let s = Scene::new();
    let other = s.node.run_pod(PodSpec::new("other").label("app", "other")).unwrap();
    s.ask(UDP, &udp(1, 53));
    assert!(s.is_answered(UDP, &udp(53, 1)));
    s.ask(UDP, &udp(2, 53)); // not answered yet
    // To who answers, and by who answers: the kernel answers pings itself.
    flood(&s, &other, &s.answers, |port| (UDP, udp(port, 53)));
    flood(&s, &s.answers, &other, |port| (UDP, udp(53, port)));
    flood(&s, &other, &s.answers, |id| (ICMP, icmp(8, id, &[])));
    flood(&s, &s.answers, &other, |port| (UDP, udp(port, 5353)));
    let n = s.entries(UDP).len();
    assert!(n > 2000, "the flood was not large: {n}");
    assert!(s.is_answered(UDP, &udp(53, 1)));
    assert!(s.is_answered(UDP, &udp(53, 2)));
}
