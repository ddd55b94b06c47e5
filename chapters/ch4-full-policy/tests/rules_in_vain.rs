//! What is not understood, or no API server would let in: it grants nothing, and is told. The numbers
//! are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::{ALL_B, ALL_PODS, World};

/// Port 80 for the pods b.
const RIGHT: (&str, &str) = (ALL_B, "[{ port: 80 }]");

/// Asserts that a rule grants nothing, in both directions, and that once is told why; and that
/// the one beside it counts.
fn in_vain(world: &mut World, rule: (&str, &str), why: &str) {
    world.each_way(&[rule], "x/b,z/a,192.0.2.2 no 80/TCP,81/TCP,53/UDP,ICMP");
    told(world, why);
    world.each_way(&[rule, RIGHT], "x/b yes 80/TCP no 81/TCP,53/UDP\n z/a no 80/TCP");
    told(world, why);
}

fn told(world: &World, why: &str) {
    let told = world.told("x/policy");
    assert!(told.len() == 1 && told[0].contains(why), "{why:?} is not in {told:?}");
}

#[test]
fn r10_a_rule_that_is_not_understood_grants_nothing_and_the_policy_isolates() {
    let mut world = World::new();
    let block = |more: &str| format!("{{ ipBlock: {{ cidr: 0.0.0.0/0, {more} }} }}");
    for (peer, why) in [
        ("{}".into(), "[0]: says nothing"),
        ("{ serviceAccountSelector: {} }".into(), "\"serviceAccountSelector\""),
        ("{ ipBlock: { cidr: 0.0.0.0/0 }, podSelector: {} }".into(), ".ipBlock"),
        ("{ ipBlock: { cidr: everywhere } }".into(), ".ipBlock.cidr"),
        ("{ ipBlock: { cidr: 0.0.0.0/33 } }".into(), ".ipBlock.cidr"),
        ("{ ipBlock: { cidr: 10.13.0.0 } }".into(), ".ipBlock.cidr"),
        (block("range: 10.0.0.1-10.0.0.2"), "\"range\""),
    ] {
        in_vain(&mut world, (&peer, "[]"), why);
    }
    for (port, why) in [
        ("{ port: 80, portRange: 80-90 }", "\"portRange\""),
        ("{ port: 80, protocol: ICMP }", ".ports[0].protocol"),
        ("{ port: 80, protocol: tcp }", ".ports[0].protocol"),
        ("{ port: 80, protocol: '' }", ".ports[0].protocol"),
    ] {
        in_vain(&mut world, (ALL_PODS, &format!("[{port}]")), why);
    }
}

#[test]
fn r22_a_range_that_ends_before_it_begins_or_has_no_number_grants_nothing() {
    let mut world = World::new();
    for port in [
        "{ port: 82, endPort: 80 }",
        "{ endPort: 65535 }",
        "{ port: http, endPort: 65535 }",
        "{ port: 1, endPort: 0 }",
        "{ port: 1, endPort: 65536 }",
        "{ port: 1, endPort: -1 }",
    ] {
        in_vain(&mut world, (ALL_PODS, &format!("[{port}]")), ".ports[0].endPort");
    }
}

#[test]
fn r24_port_0_and_ports_above_65535_grant_nothing() {
    let mut world = World::new();
    for port in ["0", "65536", "65616", "-1", "-65456"] {
        in_vain(&mut world, (ALL_PODS, &format!("[{{ port: {port} }}]")), ".ports[0].port");
    }
    in_vain(&mut world, (ALL_PODS, "[{ port: 0, endPort: 65535 }]"), ".ports[0].port");
    // Beside it in the same rule others count.
    world.each_way(
        &[(ALL_B, "[{ port: 0 }, { port: 80 }]")],
        "x/b yes 80/TCP no 81/TCP\n z/a no 80/TCP",
    );
}

#[test]
fn r47_an_except_outside_of_its_cidr_grants_nothing() {
    let mut world = World::new();
    for except in
        ["[192.0.2.0/24]", "[0.0.0.0/0]", "[10.0.0.0/8]", "[10.13.0.4]", "['2001:db8::/32']"]
    {
        let block = format!("{{ ipBlock: {{ cidr: 10.0.0.0/8, except: {except} }} }}");
        in_vain(&mut world, (&block, "[]"), ".ipBlock.except[0]");
    }
    let block = "{ ipBlock: { cidr: 0.0.0.0/0, except: [10.14.0.0/16, everywhere] } }";
    in_vain(&mut world, (block, "[]"), ".ipBlock.except[1]");
}

#[test]
fn what_a_policy_says_in_vain_is_told_once_and_no_longer_than_it_says_it() {
    let world = World::new();
    let cluster = &world.cluster;
    let all = [
        ("x/ports", "ingress: [{ ports: [{ port: 0 }] }]", "spec.ingress[0].ports[0].port"),
        (
            "x/block",
            "ingress: [{ from: [{ ipBlock: { cidr: any } }] }]",
            "spec.ingress[0].from[0].ipBlock",
        ),
        ("x/egress", "egress: [{ via: me }]", "spec.egress[0]: \"via\""),
    ];
    for (name, spec, _) in all {
        cluster.policy(name, &format!("{{ {spec} }}"));
    }
    cluster.policy("x/enforced", "{ ingress: [{ ports: [{ port: 80, endPort: 90 }] }] }");
    for (policy, _, what) in all {
        let told = world.told(policy);
        assert!(told.len() == 1 && told[0].contains(what), "{told:?}");
    }
    assert_eq!(world.told("x/enforced"), [""; 0]);

    // Whatever else happens meanwhile.
    cluster.label("x/a", "more", Some("labels"));
    cluster.delete_policy("x/block");
    assert_eq!(world.told("x/block"), [""; 0]);
    let log = cluster.node.agent_log();
    for (policy, ..) in all {
        assert_eq!(log.matches(&format!("policy {policy} ")).count(), 1, "{log}");
    }
}
