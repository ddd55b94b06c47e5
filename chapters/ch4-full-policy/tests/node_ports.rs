//! A pod's own Service, NodePorts, hostPorts, and a Service with nobody behind it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod services;
mod table;

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use probe::DEADLINE;
use services::{SETTLE, services};
use table::{ALL_B, World, pod};

const DENY_ALL: &str = "policyTypes: [Ingress, Egress]";

/// x/a may send to pods labelled b, by a port.
fn to_b(port: u16) -> String {
    format!("policyTypes: [Egress], egress: [{{ to: [{ALL_B}], ports: [{{ port: {port} }}] }}]")
}

#[test]
fn r61_a_pod_reaches_itself_through_its_own_service_however_isolated() {
    let mut world = World::new();
    let own = world.cluster.ip("x/a");
    let all = ["TCP", "UDP"].map(|it| format!("10.96.0.10:80/{it} > {own}:8080"));
    services(&world.cluster, &all);
    world.on_a(DENY_ALL);
    world.expect("x/a > 10.96.0.10 yes 80/TCP,80/UDP\n x/b,z/a > 10.96.0.10 no 80/TCP,80/UDP");
}

#[test]
fn r62_a_pod_reaches_its_twin_through_their_service_by_policy() {
    let mut world = World::new();
    world.run(pod("x/twin"));
    world.cluster.label("x/twin", "pod", Some("a"));
    world.cluster.settle();
    assert_eq!(world.identity("x/a"), world.identity("x/twin"));
    let twin = world.cluster.ip("x/twin");
    services(&world.cluster, &[80, 81].map(|it| format!("10.96.0.10:{it}/TCP > {twin}:{it}")));
    world.on_a("policyTypes: [Egress]");
    world.expect("x/twin,z/a > 10.96.0.10 yes 80/TCP,81/TCP\n x/a > 10.96.0.10 no 80/TCP,81/TCP");
    let to_twins = "{ podSelector: { matchLabels: { pod: a } } }";
    world.on_a(&format!(
        "policyTypes: [Egress], egress: [{{ to: [{to_twins}], ports: [{{ port: 80 }}] }}]"
    ));
    world.expect("z/a > 10.96.0.10 yes 80/TCP,81/TCP\n x/a > 10.96.0.10 yes 80/TCP no 81/TCP");
}

#[test]
fn r63_a_node_port_is_judged_by_the_backend_also_behind_the_nodes_address() {
    for hidden in ["", "hidden"] {
        let mut world = World::new();
        let b = world.cluster.ip("x/b");
        let all = [201, 81].map(|it| format!("192.0.2.1:{it}/TCP > {b}:8080 {hidden}"));
        services(&world.cluster, &all);
        world.on_a(&to_b(8080));
        world.expect("x/a,z/a > 192.0.2.1 yes 201/TCP");
        // Neither the node nor the port that the node opens are asked for.
        for policy in [
            to_b(201),
            "policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 192.0.2.0/24 } }] }]".into(),
            "policyTypes: [Egress]".into(),
        ] {
            world.on_a(&policy);
            world.expect("z/a > 192.0.2.1 yes 201/TCP\n x/a > 192.0.2.1 no 201/TCP");
        }
        // The other end knows the true client as well.
        world
            .policies(&[("x/b", &table::about("b", "ingress: [{ from: [{ podSelector: {} }] }]"))]);
        world.expect("x/a > 192.0.2.1 yes 201/TCP\n z/a,z/b > 192.0.2.1 no 201/TCP");
    }
}

/// The node's address hides the client from its own hook: what is asked is not known there.
#[test]
fn r63_answers_from_behind_the_nodes_address_do_not_reach_a_pod_isolated_in_both_directions() {
    let mut world = World::new();
    let b = world.cluster.ip("x/b");
    services(&world.cluster, &[format!("192.0.2.1:201/TCP > {b}:8080 hidden")]);
    let both = format!("policyTypes: [Ingress, Egress], egress: [{{ to: [{ALL_B}] }}]");
    world.on_a(&both);
    world.expect("z/a > 192.0.2.1 yes 201/TCP\n x/a > 192.0.2.1 no 201/TCP");
    services(&world.cluster, &[format!("192.0.2.1:201/TCP > {b}:8080")]);
    world.expect("x/a,z/a > 192.0.2.1 yes 201/TCP");
}

#[test]
fn r64_from_outside_behind_the_nodes_address_is_the_world_and_never_the_node() {
    let mut world = World::new();
    let a = world.cluster.ip("x/a");
    services(&world.cluster, &[format!("192.0.2.1:201/TCP > {a}:8080 hidden")]);
    let from = |block: &str| format!("ingress: [{{ from: [{{ ipBlock: {{ cidr: {block} }} }}] }}]");
    world.on_a(&from("10.13.0.1/32"));
    world.expect("192.0.2.2 > 192.0.2.1 yes 201/TCP");
    // Its answer goes to the node's address, and is no question of a pod that may ask nothing.
    world.on_a(&format!("policyTypes: [Ingress, Egress], {}", from("10.13.0.1/32")));
    world.expect("192.0.2.2 > 192.0.2.1 yes 201/TCP");
    // It carries the node's address, and the node always reaches its pods.
    world.on_a(&from("192.0.2.0/24"));
    let refused = |world: &World| {
        let outside = &world.cluster.places["192.0.2.2"];
        let connect = || {
            let to = ([192, 0, 2, 1], 201).into();
            std::net::TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_err()
        };
        world.cluster.settle();
        outside.enter(&world.cluster.node, connect)
    };
    assert!(refused(&world), "by the client's address");
    world.on_a("policyTypes: [Ingress]");
    assert!(refused(&world), "by no policy");
    world.expect("node > x/a yes 8080/TCP");
    // With `externalTrafficPolicy: Local` the pod sees the client.
    services(&world.cluster, &[format!("192.0.2.1:201/TCP > {a}:8080")]);
    for types in ["Ingress", "Ingress, Egress"] {
        world.on_a(&format!("policyTypes: [{types}], {}", from("192.0.2.2/32")));
        world.expect("192.0.2.2 > 192.0.2.1 yes 201/TCP");
    }
    world.on_a(&from("10.13.0.1/32"));
    assert!(refused(&world));
}

#[test]
fn r65_a_service_with_nobody_behind_it_refuses_and_an_isolated_pods_packet_ends_before() {
    let mut world = World::new();
    world.cluster.node.sh("ip route add 10.96.0.0/16 via 192.0.2.2").unwrap();
    let reject = "type filter hook forward priority filter; ip daddr 10.96.0.10 reject;";
    world
        .cluster
        .node
        .run(&["nft", &format!("table ip none {{ chain x {{ {reject} }}; }}")])
        .unwrap();
    let ask = |world: &World, from: &str, time: Duration| {
        let bind = || UdpSocket::bind("0.0.0.0:0").unwrap();
        let socket = world.cluster.places[from].enter(&world.cluster.node, bind);
        socket.connect("10.96.0.10:80").unwrap();
        socket.send(b"x").unwrap();
        socket.set_read_timeout(Some(time)).unwrap();
        socket.recv(&mut [0]).unwrap_err().kind()
    };
    world.on_a("policyTypes: [Egress]");
    world.cluster.settle();
    assert_eq!(ask(&world, "z/a", DEADLINE), ErrorKind::ConnectionRefused);
    assert_eq!(ask(&world, "x/a", SETTLE), ErrorKind::WouldBlock);
    // Nothing translates it: it is judged by the Service's address.
    world.on_a("policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 10.96.0.0/16 } }] }]");
    world.cluster.settle();
    assert_eq!(ask(&world, "x/a", DEADLINE), ErrorKind::ConnectionRefused);
}

#[test]
fn r77_a_host_port_is_judged_as_a_node_port() {
    let mut world = World::new();
    let b = world.cluster.ip("x/b");
    // As the portmap plugin makes it: the node's address, only a pod that calls itself is hidden.
    services(&world.cluster, &[format!("192.0.2.1:80/TCP > {b}:8080")]);
    world.on_a(&to_b(8080));
    world.expect("x/a,z/a > 192.0.2.1 yes 80/TCP");
    world.on_a(&to_b(80));
    world.expect("z/a > 192.0.2.1 yes 80/TCP\n x/a > 192.0.2.1 no 80/TCP");
    world.policies(&[("x/b", &table::about("b", "ingress: [{ ports: [{ port: 8080 }] }]"))]);
    world.expect("192.0.2.2,x/a,z/a > 192.0.2.1 yes 80/TCP");
    world.policies(&[("x/b", &table::about("b", "ingress: [{ ports: [{ port: 80 }] }]"))]);
    world.expect("node > x/b yes 8080/TCP\n 192.0.2.2,x/a > x/b no 8080/TCP");
}
