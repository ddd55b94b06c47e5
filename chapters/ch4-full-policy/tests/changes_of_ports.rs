//! New pods, policies that change while packets flow, names that are asked for, and what is full. The
//! numbers are POLICY.md's.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use std::fmt::Write as _;

use lab::Kind;
use probe::expect::Attempt;
use probe::socket::Protocol;
use table::{ALL_B, World, pod, with_ports};

/// What is below, asked at once: nobody waits for the agent.
#[track_caller]
fn at_once(world: &World, denied: &[Attempt], allowed: &[Attempt]) {
    let outcome = world.cluster.round(&denied.iter().collect::<Vec<_>>(), &[]);
    assert!(outcome.leaks.is_empty(), "{:?}", outcome.leaks);
    let mut missing: Vec<_> = allowed.iter().collect();
    // Its first packets may be too early for the bridge, and never for the policies.
    let is_there = lab::wait_until(probe::DEADLINE, || {
        missing = world.cluster.round(&[], &missing).missing;
        missing.is_empty()
    });
    assert!(is_there, "{missing:?}");
}

#[test]
fn r79_a_new_pod_is_isolated_before_its_first_packet_and_has_its_ports_when_add_returns() {
    let mut world = World::with(["x/b", "x/c"].map(pod));
    world.policies(&[(
        "x/new",
        &format!(
            "{{ podSelector: {{ matchLabels: {{ new: 'yes' }} }}, policyTypes: [Ingress, Egress],
                ingress: [{{ from: [{ALL_B}], ports: [{{ port: http }}] }}],
                egress: [{{ to: [{ALL_B}], ports: [{{ port: 81 }}] }}] }}"
        ),
    )]);
    world.cluster.settle();
    for number in 0..10 {
        let name = format!("x/new-{number}");
        let port = [80, 8080][number % 2];
        world.run(with_ports(&name, &[&format!("http {port}/TCP")]).label("new", "yes"));
        let attempt = |from: &str, to: &str, port| Attempt::new(from, to, Protocol::Tcp, port);
        at_once(
            &world,
            &[
                attempt(&name, "x/b", 80),
                attempt(&name, "192.0.2.2", 81),
                attempt(&name, "10.13.0.1", 81),
                attempt("x/b", &name, 88 + 8072 - port), // the other one of the two
                attempt("x/c", &name, port),
                attempt("192.0.2.2", &name, port),
            ],
            &[attempt(&name, "x/b", 81), attempt("x/b", &name, port)],
        );
    }
}

#[test]
fn r82_a_name_that_is_asked_for_gives_its_pods_other_identities_and_back() {
    let mut world = World::with([
        pod("x/a"),
        with_ports("x/b", &["http 80/TCP"]),
        with_ports("x/twin", &["http 8080/TCP"]).label("pod", "b"),
    ]);
    world.on_a(&format!("policyTypes: [Egress], egress: [{{ to: [{ALL_B}] }}]"));
    world.cluster.settle();
    assert_eq!(world.identity("x/b"), world.identity("x/twin"));
    for _ in 0..3 {
        world.on_a("policyTypes: [Egress], egress: [{ ports: [{ port: http }] }]");
        world.expect(
            "x/a > x/b    yes 80/TCP   no 8080/TCP
             x/a > x/twin yes 8080/TCP no 80/TCP",
        );
        assert_ne!(world.identity("x/b"), world.identity("x/twin"));
        world.on_a(&format!("policyTypes: [Egress], egress: [{{ to: [{ALL_B}] }}]"));
        world.expect("x/a > x/b,x/twin yes 80/TCP,8080/TCP");
    }
}

#[test]
fn r82_a_named_port_that_changes_owner_is_the_new_owners() {
    let mut world = World::with([pod("x/a"), with_ports("x/b", &["http 80/TCP"])]);
    world.on_a("policyTypes: [Egress], egress: [{ ports: [{ port: http }] }]");
    world.expect("x/a > x/b yes 80/TCP no 8080/TCP");
    let old = world.cluster.ip("x/b");
    for port in [8080, 80, 8080] {
        world.cluster.remove("x/b");
        // By a pod in between the address is another one, or the same one is given again.
        world.run(with_ports("x/b", &[&format!("http {port}/TCP")]));
        let attempt = |port| Attempt::new("x/a", "x/b", Protocol::Tcp, port);
        at_once(&world, &[attempt(88 + 8072 - port)], &[attempt(port)]);
        world.expect(&format!("x/a > x/b yes {port}/TCP no {}/TCP", 88 + 8072 - port));
    }
    // Who has the name no more is nobody, and nor is who has the old address.
    world.cluster.remove("x/b");
    world.run(pod("x/b"));
    let _ = old;
    world.expect("x/a > x/b no 80/TCP,8080/TCP");
}

#[test]
fn r83_with_a_namespace_go_its_policies_with_ports_and_its_pods_as_peers() {
    let mut world = World::new();
    world.policies(&[
        (
            "z/deny",
            "{ podSelector: {}, policyTypes: [Egress], egress: [{ ports: [{ port: 80 }] }] }",
        ),
        ("x/policy", &table::about("a", &format!("ingress: [{{ from: [{}] }}]", table::ALL_Z))),
    ]);
    world.expect("z/a > x/a yes 80/TCP no 81/TCP\n x/b > x/a no 80/TCP");
    world.cluster.remove("z/a");
    world.cluster.node.delete_object(Kind::Namespace, "", "z").unwrap();
    // A new one of its name has neither the policy nor the label.
    world.cluster.start(pod("z/a"));
    world.expect("z/a > x/a no 80/TCP\n z/a > x/b yes 80/TCP,81/TCP");
    world.cluster.namespace("z", &serde_json::json!({ "ns": "z" }));
    world.expect("z/a > x/a,x/b yes 80/TCP,81/TCP");
}

/// Of what does not fit nothing is left of the old policy either: that may be what it took away.
#[test]
fn r84_what_does_not_fit_into_the_maps_of_ports_and_blocks_denies_and_is_told() {
    let mut world = World::new();
    let open = "policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 192.0.2.0/24 } }] }]";
    let of_b = table::about("b", open);
    let mut blocks = String::from("{ cidr: 10.13.0.1/32 }");
    for number in 0..17_000u32 {
        let net = std::net::Ipv4Addr::from(0x6400_0000 + 2 * number);
        write!(blocks, " }}, {{ ipBlock: {{ cidr: {net}/32 }}").unwrap();
    }
    let too_many_blocks =
        format!("policyTypes: [Egress], egress: [{{ to: [{{ ipBlock: {blocks} }}] }}]");
    let mut ports = String::from("{ port: 80 }");
    for number in 0..17_000 {
        write!(ports, ", {{ port: {} }}", 1000 + 2 * number).unwrap();
    }
    let too_many_ports = format!("policyTypes: [Egress], egress: [{{ ports: [{ports}] }}]");
    for (map, too_many, would_be_open) in
        [("block_map", too_many_blocks, "10.13.0.1"), ("port_map", too_many_ports, "x/b")]
    {
        world.policies(&[("x/b", &of_b), ("x/policy", &table::about("a", open))]);
        world.expect("x/a,x/b > 192.0.2.2 yes 80/TCP");
        println!("{map}");
        world.cluster.policy("x/policy", &table::about("a", &too_many));
        let told = format!("{map}: it is full; what is left out is denied");
        let is_told = |world: &World| world.cluster.problems().iter().any(|it| it.contains(&told));
        assert!(
            lab::wait_until(probe::DEADLINE, || is_told(&world)),
            "{:?}",
            world.cluster.problems()
        );
        world.expect(&format!(
            "x/b > 192.0.2.2 yes 80/TCP
             x/a > 192.0.2.2,{would_be_open} no 80/TCP"
        ));
        world.policies(&[("x/b", &of_b), ("x/policy", &table::about("a", open))]);
        world.expect("x/a,x/b > 192.0.2.2 yes 80/TCP");
        assert!(lab::wait_until(probe::DEADLINE, || !is_told(&world)));
    }
}
