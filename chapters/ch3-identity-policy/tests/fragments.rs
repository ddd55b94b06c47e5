//! Fragments: the first has ports, and is judged; none of them answers.

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
use raw::{TCP, UDP, frame, ip, ipv4, mac, udp};

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
