//! The node, the pod itself, other nodes, and protocols that have no ports. The numbers are POLICY.md's.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod services;
mod table;

use serde_json::json;
use services::services;
use table::{ALL_B, ALL_PODS, World};

const EVERYTHING: &str = "80/TCP,80/UDP,80/SCTP,ICMP";

#[test]
fn r66_the_own_node_reaches_every_pod_however_isolated_and_is_told_by_no_address() {
    let mut world = World::new();
    world.on_a("policyTypes: [Ingress, Egress]");
    world.expect(&format!("node > x/a yes {EVERYTHING}"));
    for rule in ["from: [{ ipBlock: { cidr: 10.13.0.1/32 } }]", "ports: [{ port: 81 }]"] {
        world.on_a(&format!("ingress: [{{ {rule} }}]"));
        world.expect(&format!("node > x/a yes {EVERYTHING}"));
    }
    // Locally made is also what the node sends from its address outside.
    let to = world.cluster.ip("x/a").to_string();
    world.on_a("policyTypes: [Ingress, Egress]");
    world.cluster.settle();
    world.cluster.node.run(&["ping", "-c1", "-W10", "-I", "192.0.2.1", &to]).unwrap();
}

#[test]
fn r67_a_pod_reaches_its_own_node_by_policy() {
    let mut world = World::new();
    // As a DNS server of the node's is asked.
    services(&world.cluster, &["10.96.0.10:53/UDP > 10.13.0.1:53".into()]);
    let open = "z/a > 10.13.0.1 yes 80/TCP,81/TCP,80/SCTP,ICMP\n z/a > 10.96.0.10 yes 53/UDP\n";
    let expect = |world: &World, table: &str| world.expect(&format!("{open}{table}"));
    for closed in [
        "policyTypes: [Egress]".into(),
        format!("policyTypes: [Egress], egress: [{{ to: [{ALL_PODS}] }}]"),
        "policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0, \
         except: [10.13.0.1/32] } }] }]"
            .into(),
    ] {
        world.on_a(&closed);
        expect(&world, "x/a > 10.13.0.1 no 80/TCP,80/SCTP,ICMP\n x/a > 10.96.0.10 no 53/UDP");
    }
    let by = |rule: &str| format!("policyTypes: [Egress], egress: [{{ {rule} }}]");
    let block = "to: [{ ipBlock: { cidr: 10.13.0.1/32 } }]";
    for all in ["", "to: []", block] {
        world.on_a(&by(all));
        expect(&world, "x/a > 10.13.0.1 yes 80/TCP,80/SCTP,ICMP\n x/a > 10.96.0.10 yes 53/UDP");
    }
    for one in ["to: []", block] {
        world.on_a(&by(&format!("{one}, ports: [{{ port: 80 }}]")));
        expect(
            &world,
            "x/a > 10.13.0.1 yes 80/TCP no 81/TCP,80/SCTP,ICMP\n x/a > 10.96.0.10 no 53/UDP",
        );
    }
}

#[test]
fn r68_another_node_reaches_a_pod_by_policy_and_is_no_pod_of_its_network() {
    let mut world = World::new();
    // A pod of its network, whose labels are none of the node's.
    world.cluster.elsewhere("x/host", &json!({ "pod": "b" }), |pod| {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["status"]["podIPs"] = json!([{ "ip": "192.0.2.2" }]);
    });
    world.each_way(
        &[("{ ipBlock: { cidr: 192.0.2.2/32 } }", "[{ port: 80 }]")],
        "192.0.2.2 yes 80/TCP no 81/TCP,80/UDP,ICMP",
    );
    world.each_way(&[(ALL_B, "[]")], "192.0.2.2 no 80/TCP,ICMP");
}

#[test]
fn r69_a_pod_reaches_itself_by_its_own_address_however_isolated() {
    let mut world = World::new();
    world.on_a("policyTypes: [Ingress, Egress]");
    world.expect(&format!("x/a > x/a yes {EVERYTHING}\n x/b > x/a no 80/TCP,ICMP"));
}

#[test]
fn r72_a_ping_beside_rules_with_ports_is_denied() {
    let mut world = World::new();
    let all = "[{ port: 0, endPort: 65535 }, { protocol: UDP }, { protocol: SCTP }, {}]";
    for ports in [all, "[{ port: 80 }]", "[{ port: 1, endPort: 65535 }]"] {
        world.each_way(
            &[(ALL_B, ports), ("{ ipBlock: { cidr: 192.0.2.0/24 } }", ports)],
            "x/b,192.0.2.2 yes 80/TCP no ICMP,OTHER",
        );
    }
    world.each_way(&[(ALL_B, "[]"), (ALL_B, "[{ port: 80 }]")], "x/b yes ICMP,80/TCP,81/TCP");
}

#[test]
fn r73_a_protocol_without_ports_needs_a_rule_without_ports() {
    let mut world = World::new();
    let outside = "{ ipBlock: { cidr: 192.0.2.2/32 } }";
    let any = "[{ port: 1, endPort: 65535 }, { protocol: UDP }, { protocol: SCTP }]";
    world.each_way(&[(ALL_B, "[]"), (outside, any)], "x/b yes OTHER\n 192.0.2.2 no OTHER");
    world.each_way(&[(ALL_B, any), (outside, "[]")], "x/b no OTHER\n 192.0.2.2 yes OTHER");
}
