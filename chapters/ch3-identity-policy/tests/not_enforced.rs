//! What this chapter lacks fails closed, and is told: ports, `ipBlock`, what egress allows. The
//! next chapter has it, and tests of its own.

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

/// What is told of a policy.
fn told(cluster: &Cluster, policy: &str) -> Vec<String> {
    cluster.settle();
    let of = format!("policy {policy} ");
    cluster.problems().into_iter().filter(|problem| problem.starts_with(&of)).collect()
}

#[test]
fn s4_policy_types_that_are_missing_follow_from_the_rules() {
    const INGRESS: &str = "* > x/a";
    const EGRESS: &str = "x/a > *";
    let cluster = cluster();
    let cases: [(&str, &[&str]); 9] = [
        ("ingress: []", &[INGRESS]),
        ("policyTypes: [], ingress: []", &[INGRESS]),
        ("policyTypes: null, egress: []", &[INGRESS]),
        ("egress: [{}]", &[INGRESS, EGRESS]),
        ("egress: [{}], ingress: [{}]", &[EGRESS]),
        ("policyTypes: [Egress], ingress: []", &[EGRESS]),
        ("policyTypes: [Ingress], egress: [{}]", &[INGRESS]),
        ("policyTypes: [Egress, Ingress]", &[INGRESS, EGRESS]),
        ("policyTypes: [Ingress, Egress], ingress: [{}]", &[EGRESS]),
    ];
    for (spec, denied) in cases {
        println!("{spec}");
        on_a(&cluster, spec);
        cluster.expect_denied(denied);
    }
}

#[test]
fn rules_with_ports_and_ip_blocks_grant_nothing() {
    let cluster = cluster();
    let from_b = "{ podSelector: { matchLabels: { pod: b } } }";
    for (rules, denied) in [
        ("{ ports: [{ port: 80 }] }".into(), "* > x/a"),
        (format!("{{ from: [{from_b}], ports: [{{ protocol: UDP }}] }}"), "* > x/a"),
        ("{ from: [{ ipBlock: { cidr: 0.0.0.0/0 } }] }".into(), "* > x/a"),
        // Beside them the others do.
        (format!("{{ ports: [{{ port: 80 }}] }}, {{ from: [{from_b}] }}"), "z/a > x/a"),
        (format!("{{ from: [{{ ipBlock: {{ cidr: 0.0.0.0/0 }} }}, {from_b}] }}"), "z/a > x/a"),
    ] {
        println!("{rules}");
        on_a(&cluster, &format!("ingress: [{rules}]"));
        cluster.expect_denied(&[denied]);
    }
}

#[test]
fn what_a_policy_says_in_vain_is_told_once_and_no_longer_than_it_says_it() {
    let cluster = Cluster::new(&["x/a"]);
    cluster.policy("x/ports", "{ ingress: [{ ports: [{ port: 80 }] }] }");
    cluster.policy("x/block", "{ ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8 } }] }] }");
    cluster.policy("x/egress", "{ egress: [{ to: [{ podSelector: {} }] }] }");
    cluster.policy("x/enforced", "{ ingress: [{ from: [{ podSelector: {} }] }] }");
    let all = [("x/ports", "ports"), ("x/block", "ipBlock"), ("x/egress", "spec.egress")];
    for (policy, what) in all {
        let problems = told(&cluster, policy);
        assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
    }
    assert_eq!(told(&cluster, "x/enforced"), [""; 0]);

    // Whatever else happens meanwhile.
    cluster.label("x/a", "more", Some("labels"));
    cluster.delete_policy("x/block");
    assert_eq!(told(&cluster, "x/block"), [""; 0]);
    let log = cluster.node.agent_log();
    for (policy, _) in all {
        assert_eq!(log.matches(&format!("policy {policy} ")).count(), 1, "{log}");
    }
}
