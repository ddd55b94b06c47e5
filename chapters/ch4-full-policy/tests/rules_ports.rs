//! Peers and ports of rules, in both directions. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use std::net::UdpSocket;
use std::time::Duration;

use table::{ALL_B, ALL_Z, World, about};

/// Asserts what each of these ports lets through between x/a and the pods b, and nobody else.
fn for_b(cases: &[(&str, &str)]) {
    let mut world = World::new();
    for (ports, verdicts) in cases {
        let no = verdicts.replace("yes", "no");
        let table = format!("x/b,z/b {verdicts}\n z/a,192.0.2.2 {no}");
        world.each_way(&[(ALL_B, ports)], &table);
    }
}

#[test]
fn r11_one_peer_and_one_port_of_a_rule_must_match_and_rules_add_up() {
    let two = &format!("{ALL_B}, {ALL_Z}");
    let rules =
        [(&**two, "[{ port: 80 }, { port: 53, protocol: UDP }]"), (ALL_Z, "[{ port: 81 }]")];
    World::new().each_way(
        &rules,
        "x/b       yes 80/TCP,53/UDP         no 81/TCP,53/TCP,80/UDP,ICMP
         z/a,z/b   yes 80/TCP,53/UDP,81/TCP  no 53/TCP,80/UDP,81/UDP,ICMP
         192.0.2.2                           no 80/TCP,53/UDP,81/TCP",
    );
}

#[test]
fn r12_without_peers_a_rule_is_for_everybody_and_its_ports_still_count() {
    let mut world = World::new();
    let ports = "ports: [{ port: 80 }, { port: 53, protocol: UDP }]";
    let verdicts = "yes 80/TCP,53/UDP no 81/TCP,53/TCP,ICMP";
    for peers in ["", "from: [], ", "from: null, "] {
        world.on_a(&format!("ingress: [{{ {peers}{ports} }}]"));
        world.expect(&format!("x/b,z/a,192.0.2.2 > x/a {verdicts}"));
        let peers = peers.replace("from", "to");
        world.on_a(&format!("policyTypes: [Egress], egress: [{{ {peers}{ports} }}]"));
        world.expect(&format!("x/a > x/b,z/a,192.0.2.2,10.13.0.1 {verdicts}"));
    }
}

#[test]
fn r13_without_ports_a_rule_is_for_every_port_and_protocol() {
    let all = "yes 1/TCP,80/TCP,65535/TCP,53/UDP,80/SCTP,ICMP,OTHER";
    for_b(&[("[]", all), ("null", all)]);
}

#[test]
fn r14_a_port_that_says_nothing_is_all_of_tcp() {
    for_b(&[("[{}]", "yes 1/TCP,80/TCP,65535/TCP no 80/UDP,80/SCTP,ICMP,OTHER")]);
}

#[test]
fn r15_a_port_without_protocol_is_tcp_only() {
    for_b(&[
        ("[{ port: 53 }]", "yes 53/TCP no 53/UDP,53/SCTP,80/TCP,ICMP"),
        ("[{ port: 53, protocol: null }]", "yes 53/TCP no 53/UDP,53/SCTP,80/TCP,ICMP"),
    ]);
}

#[test]
fn r16_a_protocol_without_port_is_all_its_ports_and_no_others() {
    for_b(&[
        ("[{ protocol: UDP }]", "yes 1/UDP,53/UDP,65535/UDP no 53/TCP,53/SCTP,ICMP,OTHER"),
        ("[{ protocol: SCTP }]", "yes 1/SCTP,80/SCTP,65535/SCTP no 80/TCP,80/UDP,ICMP,OTHER"),
    ]);
}

#[test]
fn r17_sctp_isolates_and_is_told_apart() {
    for_b(&[("[{ protocol: SCTP, port: 80 }]", "yes 80/SCTP no 81/SCTP,80/TCP,80/UDP,ICMP")]);
}

/// Answers need no rule, and where something comes from says nothing of where it may go.
#[test]
fn r18_a_port_is_the_targets() {
    let mut world = World::new();
    let ports = "ports: [{ port: 80, protocol: UDP }, { port: 90, protocol: UDP }]";
    let both = "policyTypes: [Ingress, Egress]";
    let into = &about("a", &format!("{both}, ingress: [{{ from: [{ALL_B}], {ports} }}]"));
    let out = &about("b", &format!("{both}, egress: [{{ {ports} }}]"));
    world.policies(&[("x/in", into), ("x/out", out)]);
    world.expect("x/b > x/a yes 80/UDP no 81/UDP\n x/a > x/b no 80/UDP");
    let client = &world.cluster.places["x/b"];
    let open = || UdpSocket::bind((client.address, 90)).unwrap();
    let client = client.enter(&world.cluster.node, open);
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let target = world.cluster.ip("x/a");
    // What goes the same way goes in this order.
    let [denied, allowed] = [u64::MAX, u64::MAX - 1];
    for (token, port) in [(denied, 81), (allowed, 80)] {
        client.send_to(&token.to_be_bytes(), (target, port)).unwrap();
    }
    let (_, answerer) = client.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(answerer, (target, 80).into());
    std::thread::sleep(Duration::from_millis(100)); // a server that has it may not have noted it
    assert!(world.cluster.has_arrived(allowed) && !world.cluster.has_arrived(denied));
}

#[test]
fn r19_two_rules_for_one_peer_both_count() {
    let mut world = World::new();
    for (rules, b, z_a) in [
        (
            ["[{ port: 80 }]", "[{ port: 81 }]"],
            "yes 80/TCP,81/TCP no 82/TCP",
            "no 80/TCP,81/TCP,82/TCP",
        ),
        (["[{ port: 80 }]", "[]"], "yes 80/TCP,81/UDP,ICMP,OTHER", "no 80/TCP,81/UDP,ICMP,OTHER"),
        (["[]", "[{ port: 80 }]"], "yes 80/TCP,81/UDP,ICMP,OTHER", "no 80/TCP,81/UDP,ICMP,OTHER"),
    ] {
        world.each_way(&rules.map(|ports| (ALL_B, ports)), &format!("x/b {b}\n z/a {z_a}"));
    }
}

#[test]
fn r20_what_is_for_everybody_does_not_hide_what_is_for_a_peer() {
    let mut world = World::new();
    let (b_80, all_81) = ((ALL_B, "[{ port: 80 }]"), ("", "[{ port: 81 }]"));
    for rules in [[b_80, all_81], [all_81, b_80]] {
        world.each_way(
            &rules,
            "x/b,z/b        yes 80/TCP,81/TCP  no 82/TCP,80/UDP
             z/a,192.0.2.2  yes 81/TCP         no 80/TCP,82/TCP",
        );
    }
    world.each_way(
        &[(ALL_B, "[]"), all_81],
        "x/b            yes 80/TCP,81/TCP,53/UDP,ICMP
         z/a,192.0.2.2  yes 81/TCP  no 80/TCP,53/UDP,ICMP",
    );
}

#[test]
fn r21_ranges_that_overlap_are_a_union() {
    let mut world = World::new();
    let low = "[{ port: 1, endPort: 100 }]";
    let high = "[{ port: 53, endPort: 200 }]";
    let b = "x/b yes 1/TCP,53/TCP,82/TCP,100/TCP,200/TCP no 201/TCP,100/UDP";
    world.each_way(&[(ALL_B, low), (ALL_B, high)], &format!("{b}\n z/a no 1/TCP,200/TCP"));
    world.each_way(
        &[(ALL_B, low), ("", high)],
        &format!("{b}\n z/a,192.0.2.2 yes 53/TCP,100/TCP,200/TCP no 1/TCP,201/TCP"),
    );
    let inner = "[{ port: 53, endPort: 80 }]";
    world.each_way(
        &[("", inner), (ALL_B, "[{ port: 1, endPort: 200 }]"), (ALL_B, inner)],
        "x/b yes 1/TCP,53/TCP,80/TCP,81/TCP,200/TCP no 201/TCP\n z/a yes 53/TCP,80/TCP no 1/TCP,81/TCP",
    );
    let touching = "[{ port: 53, endPort: 79 }, { port: 80, endPort: 81 }]";
    world.each_way(
        &[(ALL_B, touching), (ALL_B, "[{ port: 79, protocol: UDP, endPort: 80 }]")],
        "x/b yes 53/TCP,79/TCP,80/TCP,81/TCP,79/UDP,80/UDP no 1/TCP,82/TCP,53/UDP,81/UDP\n z/a no 80/TCP",
    );
}

#[test]
fn r22_a_range_is_from_its_first_port_to_its_last() {
    for_b(&[
        ("[{ port: 80, endPort: 81 }]", "yes 80/TCP,81/TCP no 79/TCP,82/TCP,80/UDP"),
        ("[{ port: 80, endPort: 80 }]", "yes 80/TCP no 79/TCP,81/TCP"),
        ("[{ port: 1, endPort: 79, protocol: UDP }]", "yes 1/UDP,53/UDP,79/UDP no 80/UDP,53/TCP"),
        ("[{ port: 201, endPort: 65535 }]", "yes 201/TCP,8080/TCP,32767/TCP,65535/TCP no 200/TCP"),
        ("[{ port: 82, endPort: 32767 }]", "yes 82/TCP,100/TCP,32767/TCP no 81/TCP,65535/TCP"),
    ]);
}

#[test]
fn r23_all_numbers_are_not_everything() {
    let all = |protocol| format!("{{ port: 1, endPort: 65535, protocol: {protocol} }}");
    let [tcp, udp, sctp] = ["TCP", "UDP", "SCTP"].map(all);
    for_b(&[
        (&format!("[{tcp}]"), "yes 1/TCP,80/TCP,65535/TCP no 80/UDP,ICMP,OTHER"),
        (
            &format!("[{tcp}, {udp}, {sctp}]"),
            "yes 1/TCP,65535/TCP,1/UDP,65535/UDP,1/SCTP,65535/SCTP no ICMP,OTHER",
        ),
    ]);
}
