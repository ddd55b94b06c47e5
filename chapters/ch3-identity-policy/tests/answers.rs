//! What poses as an answer, a fragment or an error: it passes only if somebody asked.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod attacker;
mod chapter;
mod plugin;
mod raw;
mod scene;

use std::net::UdpSocket;
use std::time::Duration;

use attacker::Scene;
use lab::Pod;
use raw::{ACK, ICMP, SYN, TCP, UDP, frame, icmp, ip, ipv4, mac, send, tcp, udp, unique};

#[test]
fn fragments_are_judged_by_their_pair_and_answer_nothing() {
    const MORE: u16 = 0x2000;
    let s = Scene::new();
    let (me, victim) = (ip(&s.attacker), ip(&s.victim));
    let fragment = |from: &Pod, to: &Pod, field: u16, payload: &[u8]| {
        let packet = ipv4(ip(from), ip(to), UDP, (&[], field), payload);
        frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet)
    };
    let first = fragment(&s.attacker, &s.victim, MORE, &udp(7, 8));
    s.dropped(&s.attacker, "a first one", "denied by policy", first);
    let later = fragment(&s.attacker, &s.victim, 2, &[0; 64]);
    s.dropped(&s.attacker, "a later one", "fragment", later);
    let tiny = ipv4(me, victim, TCP, (&[], MORE), &[0; 8]);
    let tiny = frame(mac(victim), mac(me), 0x0800, &[&tiny[..], &[0]].concat());
    s.dropped(&s.attacker, "a tiny first one", "fragment", tiny);
    let tiny = ipv4(ip(&s.friend), victim, TCP, (&[], MORE), &[0; 8]);
    let tiny = frame(mac(victim), mac(ip(&s.friend)), 0x0800, &[&tiny[..], &[0]].concat());
    s.dropped(&s.friend, "a friend's tiny first one", "fragment", tiny);
    // The victim asks the attacker, whose whole answer would pass.
    s.passes(&s.victim, "a question", s.ip(&s.victim, &s.attacker, UDP, &udp(9, 10)));
    let answer = fragment(&s.attacker, &s.victim, MORE, &udp(10, 9));
    s.dropped(&s.attacker, "a fragment of an answer", "denied by policy", answer);

    // With real sockets: what a friend sends in three fragments arrives.
    let socket = |pod: &Pod| {
        let bind = || UdpSocket::bind((ip(pod), 4000)).unwrap();
        let socket = pod.sandbox.as_ref().unwrap().enter(&s.node, bind).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    };
    let [friend, victim_socket] = [socket(&s.friend), socket(&s.victim)];
    friend.send_to(&[7; 4000], (victim, 4000)).unwrap();
    let mut buffer = [0; 5000];
    assert_eq!(victim_socket.recv(&mut buffer).unwrap(), 4000);
}

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
