//! Whom selectors choose, as peers of egress; what chapter 3 shows of ingress is shown on this chapter as well.
//! The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use serde_json::{Value, json};
use table::{ALL_B, ALL_PODS, ALL_Z, NODE, OUTSIDE, World, about, pod};

/// Asserts where x/a may go by port 80, and no other port, when these peers may be reached.
#[track_caller]
fn reaches(world: &mut World, peers: &str, expected: &[&str]) {
    world.on_a(&format!(
        "policyTypes: [Egress], egress: [{{ to: [{peers}], ports: [{{ port: 80 }}] }}]"
    ));
    let everywhere = ["x/b", "z/a", "z/b", OUTSIDE, NODE];
    let line = |target: &str| {
        let verdict = if expected.contains(&target) { "yes" } else { "no" };
        format!("x/a > {target} {verdict} 80/TCP no 81/TCP\n")
    };
    world.expect(&everywhere.map(line).concat());
}

#[test]
fn r49_peers_are_pods_of_the_own_namespace_or_of_those_selected_and_never_the_world() {
    let mut world = World::new();
    let b = "podSelector: { matchLabels: { pod: b } }";
    let z = "namespaceSelector: { matchLabels: { ns: z } }";
    for (peer, expected) in [
        (format!("{{ {b} }}"), &["x/b"][..]),
        (format!("{{ {z} }}"), &["z/a", "z/b"]),
        (format!("{{ {b}, {z} }}"), &["z/b"]),
        (format!("{{ {b} }}, {{ {z} }}"), &["x/b", "z/a", "z/b"]),
        ("{ podSelector: {} }".into(), &["x/b"]),
        ("{ podSelector: {}, namespaceSelector: {} }".into(), &["x/b", "z/a", "z/b"]),
        (ALL_PODS.into(), &["x/b", "z/a", "z/b"]),
        (format!("{{ podSelector: {{}}, {z} }}"), &["z/a", "z/b"]),
    ] {
        reaches(&mut world, &peer, expected);
    }
}

#[test]
fn r50_a_peer_that_says_nothing_is_nobody() {
    let mut world = World::new();
    for peer in ["{}", "{ podSelector: null, namespaceSelector: null, ipBlock: null }"] {
        reaches(&mut world, peer, &[]);
        assert_eq!(world.told("x/policy").len(), 1);
        reaches(&mut world, &format!("{peer}, {ALL_Z}"), &["z/a", "z/b"]);
    }
}

/// Somewhere is a pod of another node, at the address of what serves outside.
fn elsewhere(world: &World, name: &str, change: impl Fn(&mut Value)) {
    world.cluster.elsewhere(name, &json!({ "pod": "b" }), |pod| {
        pod["status"]["podIPs"] = json!([{ "ip": OUTSIDE }]);
        change(pod);
    });
}

#[test]
fn r51_a_pod_of_a_nodes_network_is_neither_subject_nor_peer() {
    let mut world = World::new();
    elsewhere(&world, "x/host", |pod| pod["spec"]["hostNetwork"] = json!(true));
    let here = |pod: &mut Value| {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["status"]["podIPs"] = json!([{ "ip": NODE }]);
    };
    elsewhere(&world, "x/here", here);
    reaches(&mut world, ALL_B, &["x/b", "z/b"]);
    reaches(
        &mut world,
        &format!("{{ ipBlock: {{ cidr: {NODE}/32 }} }}, {ALL_B}"),
        &["x/b", "z/b", NODE],
    );
    reaches(&mut world, &format!("{{ ipBlock: {{ cidr: {OUTSIDE}/32 }} }}"), &[OUTSIDE]);
    world.policies(&[("x/policy", &about("b", "policyTypes: [Ingress, Egress]"))]);
    world.expect(
        "node > 192.0.2.2 yes 80/TCP\n 192.0.2.2,x/a > 10.13.0.1 yes 80/TCP\n x/a > x/b no 80/TCP",
    );
}

#[test]
fn r52_who_has_no_address_or_has_ended_is_nobody_and_who_ends_is_still_itself() {
    let mut world = World::new();
    for (what, expected, change) in [
        ("running", true, json!({})),
        ("without address", false, json!({ "status": { "phase": "Pending", "podIPs": null } })),
        ("ending", true, json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } })),
        ("succeeded", false, json!({ "status": { "phase": "Succeeded" } })),
        ("failed", false, json!({ "status": { "phase": "Failed" } })),
    ] {
        println!("{what}");
        elsewhere(&world, "z/remote", |pod| merge(pod, &change));
        let remote = expected.then_some(OUTSIDE);
        reaches(&mut world, ALL_B, &[["x/b", "z/b"].as_slice(), remote.as_slice()].concat());
    }
}

/// Sets what a change says, and leaves the rest.
fn merge(value: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) => fields.iter().for_each(|(key, it)| merge(&mut value[key], it)),
        _ => *value = change.clone(),
    }
}

#[test]
fn r53_labels_of_peers_and_their_namespaces_count_as_they_are_now() {
    let mut world = World::new();
    let peers = "{ podSelector: { matchLabels: { pod: b } }, namespaceSelector: { matchLabels: { env: test } } }";
    for namespace in ["x", "z"] {
        world.cluster.namespace(namespace, &json!({ "env": "test" }));
    }
    reaches(&mut world, peers, &["x/b", "z/b"]);
    for (whose, key, value, expected) in [
        ("z/b", "pod", Some("c"), &["x/b"][..]),
        ("z/a", "pod", Some("b"), &["x/b", "z/a"]),
        ("z", "env", None, &["x/b"]),
        ("z", "env", Some("test"), &["x/b", "z/a"]),
        ("x/b", "pod", None, &["z/a"]),
        ("x", "env", None, &["z/a"]),
        ("z/b", "pod", Some("b"), &["z/a", "z/b"]),
    ] {
        world.cluster.label(whose, key, value);
        reaches(&mut world, peers, expected);
    }
    // As a subject: another label, and it is free; with it again, it is not.
    world.cluster.label("x/a", "pod", Some("free"));
    world.expect("x/a > x/b,192.0.2.2,10.13.0.1 yes 80/TCP,81/TCP");
    world.cluster.label("x/a", "pod", Some("a"));
    reaches(&mut world, peers, &["z/a", "z/b"]);
}

/// A subject that is a peer as well.
#[test]
fn r53_a_label_counts_at_once_for_both_ends() {
    let mut world = World::with(["x/a", "x/b", "x/c"].map(pod));
    let to = |who: &str| format!("to: [{{ podSelector: {{ matchLabels: {{ pod: {who} }} }} }}]");
    let out = &about(
        "a",
        &format!("policyTypes: [Egress], egress: [{{ {}, ports: [{{ port: 80 }}] }}]", to("b")),
    );
    let from = "from: [{ podSelector: { matchLabels: { pod: a } } }]";
    let into = &about("b", &format!("ingress: [{{ {from}, ports: [{{ port: 80 }}] }}]"));
    world.policies(&[("x/out", out), ("x/in", into)]);
    world.expect("x/a > x/b yes 80/TCP no 81/TCP\n x/a > x/c no 80/TCP\n x/c > x/b no 80/TCP");
    world.cluster.label("x/c", "pod", Some("b"));
    world.expect("x/a > x/b,x/c yes 80/TCP no 81/TCP\n x/b > x/c no 80/TCP");
    world.cluster.label("x/b", "pod", Some("a"));
    world.expect("x/a,x/b > x/c yes 80/TCP no 81/TCP\n x/a > x/b no 80/TCP\n x/c > x/b yes 80/TCP");
}
