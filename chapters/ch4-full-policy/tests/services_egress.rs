//! Policies and what is behind a Service: its pods, the node, the world. The numbers are POLICY.md's.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod services;
mod table;

use std::net::Ipv4Addr;

use services::{services, who_answers};
use table::{World, pod};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Everything that listens can be reached by z/a, about whom there is no policy.
const Z_A: &str = "z/a > 10.96.0.10 yes";

#[test]
fn r54_ingress_through_a_cluster_ip_is_judged_by_the_true_client() {
    let mut world = World::new();
    services(&world.cluster, &[format!("10.96.0.10:80/TCP > {}:8080", world.cluster.ip("x/a"))]);
    let client = "{ podSelector: { matchLabels: { pod: a } }, namespaceSelector: {} }";
    world.on_a(&format!("ingress: [{{ from: [{client}], ports: [{{ port: 8080 }}] }}]"));
    world.expect("z/a > 10.96.0.10 yes 80/TCP\n x/b,z/b > 10.96.0.10 no 80/TCP");
    // Nor by the node's address, which the bridge has.
    let gateway = "{ ipBlock: { cidr: 10.13.0.1/32 } }, { ipBlock: { cidr: 10.96.0.0/16 } }";
    let another = "{ podSelector: { matchLabels: { pod: b } } }";
    world.on_a(&format!("ingress: [{{ from: [{gateway}, {another}] }}]"));
    world.expect("x/b > 10.96.0.10 yes 80/TCP\n z/a,z/b > 10.96.0.10 no 80/TCP");
}

#[test]
fn r55_egress_to_a_cluster_ip_is_judged_by_backend_and_target_port() {
    let mut world = World::new();
    let b = world.cluster.ip("x/b");
    services(
        &world.cluster,
        &[
            format!("10.96.0.10:80/TCP > {b}:8080"),
            format!("10.96.0.10:81/TCP > {b}:81"),
            format!("10.96.0.10:80/UDP > {b}:8080"),
        ],
    );
    let open = format!("{Z_A} 80/TCP,81/TCP,80/UDP");
    let to_b = |port: u16| {
        let peer = "{ podSelector: { matchLabels: { pod: b } } }";
        format!("policyTypes: [Egress], egress: [{{ to: [{peer}], ports: [{{ port: {port} }}] }}]")
    };
    world.on_a(&to_b(8080));
    world.expect(&format!("{open}\n x/a > 10.96.0.10 yes 80/TCP no 81/TCP,80/UDP"));
    // What the Service calls it is nothing.
    world.on_a(&to_b(80));
    world.expect(&format!("{open}\n x/a > 10.96.0.10 no 80/TCP,81/TCP,80/UDP"));
    world.on_a("policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 10.96.0.0/12 } }] }]");
    world.expect(&format!("{open}\n x/a > 10.96.0.10 no 80/TCP,81/TCP,80/UDP"));
}

#[test]
fn r56_of_two_backends_one_is_allowed_and_half_of_the_connections() {
    let mut world = World::new();
    let [b, z] = ["x/b", "z/b"].map(|pod| world.cluster.ip(pod));
    services(&world.cluster, &[format!("10.96.0.10:80/UDP > {b}:8080,{z}:8080")]);
    let to_b = "{ podSelector: { matchLabels: { pod: b } } }";
    world.on_a(&format!("policyTypes: [Egress], egress: [{{ to: [{to_b}] }}]"));
    world.cluster.settle();
    let all = who_answers(&world.cluster, "z/a", (SERVICE, 80), 20, 20);
    assert_eq!(all, [("x/b".into(), 10), ("z/b".into(), 10)].into());
    let half = who_answers(&world.cluster, "x/a", (SERVICE, 80), 20, 10);
    assert_eq!(half, [("x/b".into(), 10)].into());
}

/// The bypass of those who judge before the translation: the Service is open because one backend's port
/// is, and leads to another's, which is not.
#[test]
fn r56_a_cluster_ip_that_one_backend_opens_does_not_open_the_other_ones_target_port() {
    let mut world = World::new();
    let [b, z] = ["x/b", "z/b"].map(|pod| world.cluster.ip(pod));
    services(&world.cluster, &[format!("10.96.0.10:80/UDP > {b}:8080,{z}:81")]);
    world.on_a(&format!(
        "policyTypes: [Egress], egress: [{{ to: [{}], ports: [{{ port: 8080, protocol: UDP }}] }}]",
        table::ALL_B
    ));
    world.expect("x/a > x/b,z/b yes 8080/UDP no 81/UDP");
    let all = who_answers(&world.cluster, "z/a", (SERVICE, 80), 20, 20);
    assert_eq!(all, [("x/b".into(), 10), ("z/b".into(), 10)].into());
    let half = who_answers(&world.cluster, "x/a", (SERVICE, 80), 20, 10);
    assert_eq!(half, [("x/b".into(), 10)].into());
}

#[test]
fn r57_a_service_whose_backend_is_the_node_needs_its_address_and_port() {
    let mut world = World::new();
    // As `kubernetes.default` is; by UDP it can be seen what gets there without an answer.
    services(
        &world.cluster,
        &["10.96.0.10:80/TCP > 192.0.2.1:8080".into(), "10.96.0.10:80/UDP > 10.13.0.1:8080".into()],
    );
    let node = "{ ipBlock: { cidr: 192.0.2.1/32 } }, { ipBlock: { cidr: 10.13.0.1/32 } }";
    let others = "{ ipBlock: { cidr: 0.0.0.0/0, except: [192.0.2.1/32, 10.13.0.1/32] } }";
    for (to, is_open) in [
        (node, true),
        ("", true),
        ("{ ipBlock: { cidr: 10.96.0.0/16 } }", false),
        (others, false),
        ("{ podSelector: {}, namespaceSelector: {} }", false),
    ] {
        let verdict = if is_open { "yes" } else { "no" };
        for (port, verdict) in [(8080, verdict), (80, "no")] {
            let ports = format!("[{{ port: {port} }}, {{ port: {port}, protocol: UDP }}]");
            world.on_a(&format!(
                "policyTypes: [Egress], egress: [{{ to: [{to}], ports: {ports} }}]"
            ));
            let table = format!("{Z_A} 80/TCP,80/UDP\n x/a > 10.96.0.10 {verdict} 80/TCP,80/UDP");
            world.expect(&table);
        }
    }
}

#[test]
fn r58_a_service_with_external_endpoints_is_judged_by_the_endpoint() {
    let mut world = World::new();
    services(
        &world.cluster,
        &["UDP", "TCP"].map(|it| format!("10.96.0.10:80/{it} > 192.0.2.2:81")),
    );
    let outside = |block: &str| {
        let ports = "[{ port: 81, protocol: UDP }]";
        format!(
            "policyTypes: [Egress], egress: [{{ to: [{{ ipBlock: {block} }}], ports: {ports} }}]"
        )
    };
    let open = format!("{Z_A} 80/UDP,80/TCP");
    world.on_a(&outside("{ cidr: 192.0.2.0/24, except: [192.0.2.3/32] }"));
    world.expect(&format!("{open}\n x/a > 10.96.0.10 yes 80/UDP no 80/TCP"));
    world.on_a(&outside("{ cidr: 0.0.0.0/0, except: [192.0.2.2/32] }"));
    world.expect(&format!("{open}\n x/a > 10.96.0.10 no 80/UDP,80/TCP"));
}

#[test]
fn r59_a_headless_service_has_the_same_verdicts() {
    let mut world = World::new();
    let b = world.cluster.ip("x/b");
    let both = [80, 81].map(|port| format!("10.96.0.10:{port}/TCP > {b}:{port}"));
    services(&world.cluster, &both);
    world.on_a(
        "policyTypes: [Egress], egress: [{ to: [{ podSelector: {} }], ports: [{ port: 80 }] }]",
    );
    world.expect(&format!("{Z_A} 80/TCP,81/TCP\n x/a > x/b,10.96.0.10 yes 80/TCP no 81/TCP"));
}

#[test]
fn r60_dns_by_udp_and_tcp_through_its_cluster_ip() {
    let mut world = World::new();
    world.run(pod("kube-system/dns"));
    let dns = world.cluster.ip("kube-system/dns");
    services(&world.cluster, &["UDP", "TCP"].map(|it| format!("10.96.0.10:53/{it} > {dns}:53")));
    let to_dns = "namespaceSelector: { matchLabels: { ns: kube-system } }, \
                  podSelector: { matchLabels: { pod: dns } }";
    let rule = |ports: &str| {
        format!("policyTypes: [Egress], egress: [{{ to: [{{ {to_dns} }}], ports: {ports} }}]")
    };
    let open = format!("{Z_A} 53/UDP,53/TCP");
    world.on_a(&rule("[{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]"));
    world.expect(&format!("{open}\n x/a > 10.96.0.10,kube-system/dns yes 53/UDP,53/TCP"));
    world.expect("x/a > kube-system/dns no 80/TCP,80/UDP");
    // The commonest error: a port without protocol is TCP's.
    world.on_a(&rule("[{ port: 53 }]"));
    world.expect(&format!("{open}\n x/a > 10.96.0.10 yes 53/TCP no 53/UDP"));
}
