//! What a pod may try that can make packets by hand: each shot is dropped, for the right reason,
//! at the right hook, beside a shot of the same kind that is honest and passes.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod attacker;
mod chapter;
mod plugin;
mod raw;
mod scene;

use std::net::Ipv4Addr;

use attacker::{GATEWAY, Scene};
use lab::Pod;
use raw::{
    BROADCAST, Mac, Monitor, SYN, TCP, UDP, arp, frame, ip, ipv4, mac, send, tcp, udp, unique,
};

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
    monitor.find("a short ARP", |event| {
        event.reason.as_str() == spoofed && event.length == short.len() as u32
    });
    // Honest ones pass: the victim answers who asks, and a probe for the own address.
    let sandbox = s.attacker.sandbox.as_ref().unwrap();
    sandbox.run(&s.node, &["ip", "neigh", "flush", "all"]).unwrap();
    sandbox.ping(&s.node, ip(&s.bystander)).unwrap();
    let before = s.monitor.count(|event| event.reason.as_str() == spoofed);
    send(&s.node, &s.attacker, &say((mac(me), nobody), me, mac(me), 1));
    s.dropped(&s.attacker, "after it", spoofed, say((mac(friend), friend), victim, mac(me), 1));
    assert_eq!(
        s.monitor.count(|event| event.reason.as_str() == spoofed),
        before + 1,
        "an own probe"
    );
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
fn what_is_not_linear_is_read_all_the_same() {
    let s = Scene::new();
    let shoot = |from: &Pod, what: &str, frame: Vec<u8>| {
        let frame = unique(frame);
        let send = || raw::ring::send("eth0", &frame);
        from.sandbox.as_ref().unwrap().enter(&s.node, send).unwrap();
        let event = s.monitor.find(what, |event| {
            event.length == frame.len() as u32
                && (event.hook.as_str() == "from-pod" || !event.dropped)
        });
        event.reason.as_str()
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
