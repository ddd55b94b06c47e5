//! Whom a policy isolates, in which direction, and what its rules let in. The numbers are those
//! of the rules of Kubernetes' NetworkPolicy that the chapter's text lists.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use probe::Cluster;

/// The pods of every test here.
fn cluster() -> Cluster {
    Cluster::new(&["x/a", "x/b", "z/a"])
}

/// A policy on x/a alone with more in its spec.
fn on_a(cluster: &Cluster, more: &str) {
    cluster
        .policy("x/policy", &format!("{{ podSelector: {{ matchLabels: {{ pod: a }} }}, {more} }}"));
}

#[test]
fn s1_who_is_not_isolated_is_reached_by_everybody() {
    let mut cluster = cluster();
    cluster.outside(2);
    cluster.expect_denied(&[]);
    cluster.expect_pairs(&["192.0.2.2 > x/a", "node > x/a"], &[]);
}

#[test]
fn s1_isolation_is_of_the_selected_pods_only() {
    let cluster = cluster();
    on_a(&cluster, "policyTypes: [Ingress]");
    cluster.expect_denied(&["* > x/a"]);
}

#[test]
fn s1_a_pod_isolated_for_egress_opens_no_connections_and_answers_others() {
    let mut cluster = cluster();
    cluster.outside(2);
    cluster.serve_outside();
    on_a(&cluster, "policyTypes: [Egress]");
    cluster.expect_denied(&["x/a > *"]);
    let allowed = ["x/b > 192.0.2.2", "x/b > 10.13.0.1", "192.0.2.2 > x/a", "node > x/a"];
    cluster.expect_pairs(&allowed, &["x/a > 192.0.2.2", "x/a > 10.13.0.1"]);
}

#[test]
fn s2_policies_add_up_in_any_order() {
    let mut cluster = cluster();
    cluster.outside(2);
    let deny = "{ podSelector: {} }";
    let from_b =
        "{ podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { pod: b } } }] }] }";
    let z = "{ namespaceSelector: { matchLabels: { ns: z } } }";
    let from_z = &format!("{{ podSelector: {{}}, ingress: [{{ from: [{z}] }}] }}");
    for order in [[deny, from_b, from_z], [from_z, from_b, deny], [from_b, deny, from_z]] {
        for (name, spec) in ["x/p1", "x/p2", "x/p3"].into_iter().zip(order) {
            cluster.policy(name, spec);
        }
        cluster.expect_denied(&["x/a > x/*"]);
    }
    cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
    cluster.policy("x/p4", "{ ingress: [{}] }");
    cluster.expect_denied(&[]);
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
}

#[test]
fn s3_a_connection_needs_the_sources_egress_and_the_targets_ingress() {
    let cluster = cluster();
    on_a(&cluster, "policyTypes: [Egress]");
    let a = "{ podSelector: { matchLabels: { pod: a } }, namespaceSelector: {} }";
    cluster.policy("z/from-a", &format!("{{ ingress: [{{ from: [{a}] }}] }}"));
    cluster.expect_denied(&["x/a > *", "x/b > z/a"]);
    cluster.delete_policy("x/policy");
    cluster.expect_denied(&["x/b > z/a"]);
}

#[test]
fn s6_no_rules_let_nobody_in_and_an_empty_rule_everybody() {
    let mut cluster = cluster();
    cluster.outside(2);
    for rules in ["policyTypes: [Ingress]", "ingress: null", "ingress: []"] {
        println!("{rules}");
        on_a(&cluster, rules);
        cluster.expect_denied(&["* > x/a"]);
        cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
    }
    on_a(&cluster, "ingress: [{}]");
    cluster.expect_denied(&[]);
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
}

#[test]
fn s7_a_rule_without_peers_and_ports_is_for_everybody_and_every_protocol() {
    let mut cluster = cluster();
    cluster.outside(2);
    for rule in ["{ from: [] }", "{ from: null, ports: null }", "{ ports: [] }"] {
        println!("{rule}");
        on_a(&cluster, &format!("ingress: [{rule}]"));
        cluster.expect_denied(&[]);
        cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
        cluster.ping("z/a", "x/a");
    }
}

#[test]
fn s7_who_matches_one_of_the_rules_gets_in() {
    let cluster = cluster();
    let from = |label: &str| {
        format!("{{ from: [{{ podSelector: {{ matchLabels: {{ pod: {label} }} }} }}] }}")
    };
    on_a(&cluster, &format!("ingress: [{}, {}]", from("nobody"), from("b")));
    cluster.expect_denied(&["z/a > x/a"]);
}
