//! What poses as an answer or an error: it passes only if somebody asked.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod attacker;
mod chapter;
mod plugin;
mod raw;
mod scene;

use attacker::Scene;
use raw::{ACK, ICMP, SYN, TCP, UDP, icmp, ip, ipv4, send, tcp, udp, unique};

#[test]
fn an_answer_answers_a_question() {
    let s = Scene::new();
    let denied = "denied by policy";
    let to_victim = |protocol, payload: &[u8]| s.ip(&s.attacker, &s.victim, protocol, payload);
    s.dropped(
        &s.attacker,
        "a SYN-ACK nobody asked for",
        denied,
        to_victim(TCP, &tcp(80, 5000, SYN | ACK)),
    );
    s.dropped(&s.attacker, "an ACK nobody asked for", denied, to_victim(TCP, &tcp(80, 5000, ACK)));
    s.dropped(&s.attacker, "a datagram nobody asked for", denied, to_victim(UDP, &udp(53, 5000)));
    s.dropped(
        &s.attacker,
        "an echo reply nobody asked for",
        denied,
        to_victim(ICMP, &icmp(0, 7, &[])),
    );

    s.passes(&s.victim, "a SYN", s.ip(&s.victim, &s.attacker, TCP, &tcp(5000, 80, SYN)));
    s.passes(&s.victim, "a question", s.ip(&s.victim, &s.attacker, UDP, &udp(5000, 53)));
    s.passes(&s.victim, "an echo request", s.ip(&s.victim, &s.attacker, ICMP, &icmp(8, 7, &[])));
    s.dropped(&s.attacker, "from another port", denied, to_victim(UDP, &udp(54, 5000)));
    s.dropped(&s.attacker, "to another port", denied, to_victim(UDP, &udp(53, 5001)));
    s.dropped(&s.attacker, "by another protocol", denied, to_victim(TCP, &tcp(53, 5000, ACK)));
    s.dropped(&s.attacker, "with another id", denied, to_victim(ICMP, &icmp(0, 8, &[])));
    s.dropped(
        &s.attacker,
        "a request that poses as a reply",
        denied,
        to_victim(ICMP, &icmp(8, 7, &[])),
    );
    s.dropped(&s.attacker, "a new SYN the other way", denied, to_victim(TCP, &tcp(80, 5000, SYN)));
    s.dropped(
        &s.bystander,
        "from another pod",
        denied,
        s.ip(&s.bystander, &s.victim, UDP, &udp(53, 5000)),
    );

    // The true answers arrive; what arrives and opens nothing has no event, so it is looked for.
    for (what, protocol, payload) in [
        ("a SYN-ACK", TCP, tcp(80, 5000, SYN | ACK)),
        ("an answer", UDP, udp(53, 5000)),
        ("an echo reply", ICMP, icmp(0, 7, &[])),
    ] {
        let shot = unique(to_victim(protocol, &payload));
        assert!(raw::arrives(&s.node, &s.attacker, &s.victim, &shot), "{what}");
    }
}

#[test]
fn an_icmp_error_quotes_a_known_connection() {
    let s = Scene::new();
    let (me, victim) = (ip(&s.attacker), ip(&s.victim));
    let quote = |from, to, protocol, payload: &[u8]| ipv4(from, to, protocol, (&[], 0), payload);
    let error = |quoted: &[u8]| s.ip(&s.attacker, &s.victim, ICMP, &icmp(3, 0, quoted));
    let unrelated = "unrelated ICMP error";
    s.passes(&s.victim, "a question", s.ip(&s.victim, &s.attacker, UDP, &udp(6000, 53)));
    s.passes(&s.victim, "another", s.ip(&s.victim, &s.friend, UDP, &udp(6000, 53)));
    for (what, quoted) in [
        ("nothing", vec![]),
        ("what was sent to another", quote(victim, ip(&s.friend), UDP, &udp(6000, 53))),
        ("half a header", quote(victim, me, UDP, &[])[..12].to_vec()),
        ("no ports", quote(victim, me, UDP, &[])),
        ("another port", quote(victim, me, UDP, &udp(6001, 53))),
        ("another's packet", quote(ip(&s.friend), me, UDP, &udp(6000, 53))),
        ("the attacker's own", quote(me, victim, UDP, &udp(53, 6000))),
    ] {
        // Not padded: that would lengthen what is quoted.
        let shot = error(&quoted);
        let length = shot.len() as u32;
        let before = s.monitor.count(|it| it.length == length && it.reason.as_str() == unrelated);
        send(&s.node, &s.attacker, &shot);
        s.monitor.find(what, |_| {
            s.monitor.count(|it| it.length == length && it.reason.as_str() == unrelated) > before
        });
    }
    let true_one = unique(error(&quote(victim, me, UDP, &udp(6000, 53))));
    assert!(raw::arrives(&s.node, &s.attacker, &s.victim, &true_one));
}
