//! What a pod may try that can make packets by hand: each shot is dropped, for the right reason,
//! at the right hook, beside a shot of the same kind that is honest and passes.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod raw;
mod scene;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use lab::{Node, Pod, PodSpec};
use plugin::ready_node;
use raw::{
    ACK, BROADCAST, ICMP, Mac, Monitor, SYN, TCP, UDP, arp, frame, icmp, ip, ipv4, mac, send, tcp,
    udp, unique,
};
use scene::FRIENDS_ONLY;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 13, 0, 1);

/// A friend whom the victim lets in, an attacker whom it does not; a bystander with no policy.
struct Scene {
    node: Node,
    friend: Pod,
    attacker: Pod,
    victim: Pod,
    bystander: Pod,
    monitor: Monitor,
}

impl Scene {
    fn new() -> Self {
        let node = ready_node();
        let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
        let [friend, attacker, victim, bystander] =
            ["friend", "attacker", "victim", "bystander"].map(pod);
        node.apply(FRIENDS_ONLY).unwrap();
        let monitor = Monitor::new(&node);
        let scene = Self { node, friend, attacker, victim, bystander, monitor };
        // The policy is in force when the first honest packet is denied.
        let honest = scene.ip(&scene.attacker, &scene.victim, UDP, &udp(1, 2));
        let denied = |event: &raw::Event| event.reason == "denied by policy";
        while scene.monitor.count(denied) == 0 {
            send(&scene.node, &scene.attacker, &honest);
            std::thread::yield_now();
        }
        scene
    }

    /// An honest frame around a payload.
    fn ip(&self, from: &Pod, to: &Pod, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let packet = ipv4(ip(from), ip(to), protocol, (&[], 0), payload);
        frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet)
    }

    /// It is dropped where it leaves the pod, for this reason.
    #[track_caller]
    fn dropped(&self, from: &Pod, what: &str, reason: &str, frame: Vec<u8>) {
        let frame = unique(frame);
        send(&self.node, from, &frame);
        // The kernel takes a VLAN tag out of the frame.
        let length = frame.len() as u32 - if reason == "VLAN" { 4 } else { 0 };
        let event = self.monitor.find(what, |event| event.length == length);
        assert_eq!((event.hook.as_str(), event.reason.as_str()), ("from-pod", reason), "{what}");
    }

    /// It passes: at its end it is the first of a connection. A bridge that has not heard of the
    /// receiver yet floods it to the others too, who drop it.
    #[track_caller]
    fn passes(&self, from: &Pod, what: &str, frame: Vec<u8>) {
        let frame = unique(frame);
        send(&self.node, from, &frame);
        let is_it = |event: &raw::Event| event.length == frame.len() as u32;
        self.monitor.find(what, |event| is_it(event) && !event.dropped && event.hook == "to-pod");
        assert_eq!(
            self.monitor.count(|event| is_it(event) && event.hook == "from-pod"),
            0,
            "{what}"
        );
    }
}

#[test]
fn nobody_sends_as_another() {
    let s = Scene::new();
    let (me, friend, victim) = (ip(&s.attacker), ip(&s.friend), ip(&s.victim));
    let udp = udp(1000, 53);
    let as_if = |from: Ipv4Addr, from_mac: Mac| {
        frame(mac(victim), from_mac, 0x0800, &ipv4(from, victim, UDP, (&[], 0), &udp))
    };
    let spoofed = "spoofed source";
    s.passes(&s.friend, "the friend itself", s.ip(&s.friend, &s.victim, UDP, &udp));
    s.passes(&s.attacker, "the attacker as itself", s.ip(&s.attacker, &s.bystander, UDP, &udp));
    s.dropped(&s.attacker, "another pod's address", spoofed, as_if(friend, mac(me)));
    s.dropped(&s.attacker, "another pod's MAC", spoofed, as_if(me, mac(friend)));
    s.dropped(&s.attacker, "another pod's address and MAC", spoofed, as_if(friend, mac(friend)));
    s.dropped(&s.attacker, "the gateway's address", spoofed, as_if(GATEWAY, mac(me)));
    s.dropped(
        &s.attacker,
        "an address of the world",
        spoofed,
        as_if([192, 0, 2, 1].into(), mac(me)),
    );
    s.dropped(&s.attacker, "no address", spoofed, as_if([0, 0, 0, 0].into(), mac(me)));
    s.dropped(&s.friend, "an allowed address behind a wrong MAC", spoofed, as_if(friend, mac(me)));
}

#[test]
fn nobody_answers_arp_for_another() {
    let s = Scene::new();
    let (me, friend, victim) = (ip(&s.attacker), ip(&s.friend), ip(&s.victim));
    let say = |sender: (Mac, Ipv4Addr), target: Ipv4Addr, from: Mac, operation: u16| {
        frame(mac(victim), from, 0x0806, &arp(operation, sender, (mac(victim), target)))
    };
    let spoofed = "spoofed source";
    for operation in [1, 2] {
        s.dropped(
            &s.attacker,
            "another's address",
            spoofed,
            say((mac(me), friend), victim, mac(me), operation),
        );
        s.dropped(
            &s.attacker,
            "the gateway's",
            spoofed,
            say((mac(me), GATEWAY), victim, mac(me), operation),
        );
        s.dropped(
            &s.attacker,
            "another's MAC",
            spoofed,
            say((mac(friend), me), victim, mac(me), operation),
        );
        s.dropped(
            &s.attacker,
            "another's frame",
            spoofed,
            say((mac(me), me), victim, mac(friend), operation),
        );
    }
    let nobody = [0, 0, 0, 0].into();
    s.dropped(
        &s.attacker,
        "a probe for another",
        spoofed,
        say((mac(me), nobody), friend, mac(me), 1),
    );
    let short = frame(mac(victim), mac(me), 0x0806, &[0, 1, 8, 0]);
    let monitor = Monitor::new(&s.node);
    send(&s.node, &s.attacker, &short);
    monitor
        .find("a short ARP", |event| event.reason == spoofed && event.length == short.len() as u32);
    // Honest ones pass: the victim answers who asks, and a probe for the own address.
    let sandbox = s.attacker.sandbox.as_ref().unwrap();
    sandbox.run(&s.node, &["ip", "neigh", "flush", "all"]).unwrap();
    sandbox.run(&s.node, &["ping", "-c1", "-W2", &ip(&s.bystander).to_string()]).unwrap();
    let before = s.monitor.count(|event| event.reason == spoofed);
    send(&s.node, &s.attacker, &say((mac(me), nobody), me, mac(me), 1));
    s.dropped(&s.attacker, "after it", spoofed, say((mac(friend), friend), victim, mac(me), 1));
    assert_eq!(s.monitor.count(|event| event.reason == spoofed), before + 1, "an own probe");
}

#[test]
fn what_is_not_plain_ipv4_gets_nowhere() {
    let s = Scene::new();
    let (me, other) = (mac(ip(&s.attacker)), mac(ip(&s.bystander)));
    let plain = ipv4(ip(&s.attacker), ip(&s.bystander), UDP, (&[], 0), &udp(5, 6));
    let tagged = |tags: &[[u8; 4]]| [&other[..], &me, &tags.concat(), &[8, 0], &plain].concat();
    let (q, ad) = ([0x81, 0, 0, 7], [0x88, 0xa8, 0, 7]);
    s.passes(&s.attacker, "plain", frame(other, me, 0x0800, &plain));
    for (what, reason, packet) in [
        ("IPv6", "unsupported ethertype", frame(other, me, 0x86dd, &[0x60; 60])),
        ("802.3 and LLC", "unsupported ethertype", frame(other, me, 60, &[0xaa; 60])),
        ("MPLS", "unsupported ethertype", frame(other, me, 0x8847, &plain)),
        ("VLAN", "VLAN", tagged(&[q])),
        ("double VLAN", "VLAN", tagged(&[q, q])),
        ("802.1ad", "VLAN", tagged(&[ad, q])),
        ("to everybody", "multicast or broadcast", frame(BROADCAST, me, 0x0800, &plain)),
    ] {
        s.dropped(&s.attacker, what, reason, packet);
    }
    for group in [[224, 0, 0, 1], [239, 1, 1, 1], [255, 255, 255, 255]] {
        let packet = ipv4(ip(&s.attacker), group.into(), UDP, (&[], 0), &udp(5, 6));
        s.dropped(
            &s.attacker,
            "to a group",
            "multicast or broadcast",
            frame(other, me, 0x0800, &packet),
        );
    }
}

#[test]
fn odd_headers_are_no_way_round() {
    let s = Scene::new();
    let (me, victim) = (ip(&s.attacker), ip(&s.victim));
    let around = |packet: &[u8]| frame(mac(victim), mac(me), 0x0800, packet);
    let honest = ipv4(me, victim, UDP, (&[], 0), &udp(7, 8));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = honest.clone();
        change(&mut packet);
        around(&packet)
    };
    let (invalid, denied) = ("invalid header", "denied by policy");
    s.dropped(&s.attacker, "a whole header", denied, around(&honest));
    s.dropped(&s.attacker, "version 5", invalid, with(&|it| it[0] = 0x55));
    s.dropped(&s.attacker, "header of four words", invalid, with(&|it| it[0] = 0x44));
    s.dropped(&s.attacker, "longer than the frame", invalid, with(&|it| it[2] = 0x20));
    s.dropped(&s.attacker, "shorter than its header", invalid, with(&|it| it[2..4].fill(0)));
    s.dropped(&s.attacker, "protocol 0", invalid, with(&|it| it[9] = 0));
    let short = ipv4(me, victim, TCP, (&[], 0), &tcp(7, 8, SYN)[..12]);
    s.dropped(&s.attacker, "half a TCP header", invalid, around(&[&short[..], &[0]].concat()));
    // Options push the ports away; what stands where they would be is made to look allowed.
    let options = [1; 40];
    s.dropped(
        &s.attacker,
        "options",
        denied,
        around(&ipv4(me, victim, UDP, (&options, 0), &udp(7, 8))),
    );
    s.passes(&s.friend, "a friend's options", {
        let packet = ipv4(ip(&s.friend), victim, UDP, (&options, 0), &udp(7, 8));
        frame(mac(victim), mac(ip(&s.friend)), 0x0800, &packet)
    });
}

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
    for (what, quoted) in [
        ("nothing", vec![]),
        ("half a header", quote(victim, me, UDP, &[])[..12].to_vec()),
        ("no ports", quote(victim, me, UDP, &[])),
        ("another port", quote(victim, me, UDP, &udp(6001, 53))),
        ("another's packet", quote(ip(&s.friend), me, UDP, &udp(6000, 53))),
        ("the attacker's own", quote(me, victim, UDP, &udp(53, 6000))),
    ] {
        // Not padded: that would lengthen what is quoted.
        let shot = error(&quoted);
        let length = shot.len() as u32;
        let before = s.monitor.count(|it| it.length == length && it.reason == unrelated);
        send(&s.node, &s.attacker, &shot);
        s.monitor.find(what, |_| {
            s.monitor.count(|it| it.length == length && it.reason == unrelated) > before
        });
    }
    let true_one = unique(error(&quote(victim, me, UDP, &udp(6000, 53))));
    assert!(raw::arrives(&s.node, &s.attacker, &s.victim, &true_one));
}

#[test]
fn what_is_not_linear_is_read_all_the_same() {
    let s = Scene::new();
    let shoot = |from: &Pod, what: &str, frame: Vec<u8>| {
        let frame = unique(frame);
        let send = || raw::ring::send("eth0", &frame);
        from.sandbox.as_ref().unwrap().enter(&s.node, send).unwrap();
        let event = s.monitor.find(what, |event| {
            event.length == frame.len() as u32 && (event.hook == "from-pod" || !event.dropped)
        });
        event.reason
    };
    let udp = udp(11, 12);
    let honest = s.ip(&s.friend, &s.victim, UDP, &udp);
    assert_eq!(shoot(&s.friend, "a friend's", honest), "new connection");
    let denied = s.ip(&s.attacker, &s.victim, UDP, &udp);
    assert_eq!(shoot(&s.attacker, "the attacker's", denied), "denied by policy");
    let packet = ipv4(ip(&s.friend), ip(&s.victim), UDP, (&[], 0), &udp);
    let forged = frame(mac(ip(&s.victim)), mac(ip(&s.attacker)), 0x0800, &packet);
    assert_eq!(shoot(&s.attacker, "a forged one", forged), "spoofed source");
}
