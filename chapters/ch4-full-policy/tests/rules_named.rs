//! Ports by name: what the containers of the target call theirs. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::{ALL_PODS, World, about, pod, with_ports};

const HTTP: &str = "[{ port: http }]";

/// Everybody calls another port http, and x/c none.
fn world() -> World {
    World::with([
        with_ports("x/a", &["http 80/TCP", "dns 53/UDP"]),
        with_ports("x/b", &["http 81/TCP"]),
        with_ports("z/a", &["http 82/TCP", "dns 200/UDP"]),
        pod("x/c"),
    ])
}

/// A policy on x/a with one egress rule.
fn egress(world: &mut World, rule: &str) {
    world.on_a(&format!("policyTypes: [Egress], egress: [{{ {rule} }}]"));
}

#[test]
fn r25_a_name_is_the_targets_and_has_a_protocol() {
    let mut world = world();
    let names = "ports: [{ port: http }, { port: dns, protocol: UDP }]";
    world.on_a(&format!("ingress: [{{ from: [{ALL_PODS}], {names} }}]"));
    world.expect(
        "x/b,x/c,z/a > x/a yes 80/TCP,53/UDP no 81/TCP,82/TCP,80/UDP,53/TCP,200/UDP,ICMP
         192.0.2.2 > x/a no 80/TCP,53/UDP",
    );
    egress(&mut world, &format!("to: [{ALL_PODS}], {names}"));
    world.expect(
        "x/a > x/b yes 81/TCP no 80/TCP,81/UDP,53/UDP,200/UDP
         x/a > z/a yes 82/TCP,200/UDP no 80/TCP,81/TCP,53/UDP
         x/a > x/c no 80/TCP,81/TCP,82/TCP,53/UDP,200/UDP
         x/a > 192.0.2.2,10.13.0.1 no 80/TCP,53/UDP",
    );
}

#[test]
fn r26_each_subject_has_its_own_number() {
    let mut world = world();
    world.policies(&[("x/policy", &format!("{{ ingress: [{{ ports: {HTTP} }}] }}"))]);
    world.expect(
        "z/a,192.0.2.2 > x/a yes 80/TCP no 81/TCP,82/TCP
         z/a,192.0.2.2 > x/b yes 81/TCP no 80/TCP,82/TCP
         z/a,192.0.2.2 > x/c no 80/TCP,81/TCP,82/TCP",
    );
}

#[test]
fn r27_each_peer_has_its_own_number() {
    let mut world = world();
    egress(&mut world, &format!("to: [{ALL_PODS}], ports: {HTTP}"));
    world.expect(
        "x/a > x/b yes 81/TCP no 80/TCP,82/TCP
         x/a > z/a yes 82/TCP no 80/TCP,81/TCP
         x/a > x/c no 80/TCP,81/TCP,82/TCP",
    );
}

#[test]
fn r28_pods_of_the_same_labels_and_other_numbers_are_told_apart() {
    let twin = |name: &str, port: &str| with_ports(name, &[port]).label("app", "twin");
    let mut world = World::with([
        twin("x/t1", "http 80/TCP").label("pod", "t"),
        twin("x/t2", "http 8080/TCP").label("pod", "t"),
        pod("x/a"),
    ]);
    let are_one = |world: &World| {
        world.cluster.settle();
        world.identity("x/t1") == world.identity("x/t2")
    };
    assert!(are_one(&world));
    world.policies(&[("x/policy", &about("t", &format!("ingress: [{{ ports: {HTTP} }}]")))]);
    assert!(!are_one(&world));
    world.expect("x/a > x/t1 yes 80/TCP no 8080/TCP\n x/a > x/t2 yes 8080/TCP no 80/TCP");
    egress(
        &mut world,
        &format!("to: [{{ podSelector: {{ matchLabels: {{ app: twin }} }} }}], ports: {HTTP}"),
    );
    world.expect("x/a > x/t1 yes 80/TCP no 8080/TCP\n x/a > x/t2 yes 8080/TCP no 80/TCP");
    world.policies(&[]);
    assert!(are_one(&world));
}

#[test]
fn r29_a_name_that_nobody_has_is_no_port() {
    let mut world = world();
    for name in ["https", "'80'", "HTTP", "''"] {
        let only = format!("[{{ port: {name} }}]");
        let ports = "80/TCP,81/TCP,82/TCP,53/UDP,ICMP";
        world.each_way(&[(ALL_PODS, &only)], &format!("x/b,z/a no {ports}"));
        world.each_way(&[("", &only)], &format!("x/b,z/a,192.0.2.2 no {ports}"));
        let beside = format!("[{{ port: {name} }}, {{ port: 100 }}]");
        world.each_way(&[(ALL_PODS, &beside)], &format!("x/b,z/a yes 100/TCP no {ports}"));
    }
}

#[test]
fn r30_a_name_with_another_protocol_is_no_port() {
    let mut world = world();
    let udp = "[{ port: http, protocol: UDP }, { port: dns }]";
    let no = "no 80/TCP,80/UDP,81/TCP,81/UDP,53/TCP,53/UDP";
    world.each_way(&[(ALL_PODS, udp)], &format!("x/b,z/a {no}"));
    world.each_way(&[(ALL_PODS, udp), (ALL_PODS, HTTP)], "x/c no 81/TCP,53/UDP,80/UDP");
    world.expect("x/a > x/b yes 81/TCP no 81/UDP");
}

#[test]
fn r31_a_name_to_everybody_is_to_pods_that_have_it_and_never_to_the_world() {
    let mut world = world();
    for to in ["", "to: [], "] {
        egress(
            &mut world,
            &format!("{to}ports: [{{ port: http }}, {{ port: 53, protocol: UDP }}]"),
        );
        world.expect(
            "x/a > x/b yes 81/TCP,53/UDP no 80/TCP,82/TCP,81/UDP
             x/a > z/a yes 82/TCP,53/UDP no 80/TCP,81/TCP
             x/a > x/c yes 53/UDP no 80/TCP,81/TCP,82/TCP
             x/a > 192.0.2.2,10.13.0.1 yes 53/UDP no 80/TCP,81/TCP,82/TCP",
        );
    }
    world.run(with_ports("z/late", &["http 8080/TCP"]));
    world.expect("x/a > z/late yes 8080/TCP,53/UDP no 80/TCP,81/TCP");
}

#[test]
fn r32_a_name_from_everybody_lets_the_world_in_at_the_subjects_number() {
    let mut world = world();
    for from in ["", "from: [], "] {
        world.on_a(&format!("ingress: [{{ {from}ports: {HTTP} }}]"));
        world.expect("x/b,x/c,z/a,192.0.2.2 > x/a yes 80/TCP no 81/TCP,82/TCP,80/UDP,ICMP");
    }
}
