//! What is not understood, or not enforced, grants nothing, and is told.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use probe::Cluster;

/// Sets the ingress rules of x/a.
fn rules(cluster: &Cluster, rules: &str) {
    println!("{rules}");
    let spec = format!("{{ podSelector: {{ matchLabels: {{ pod: a }} }}, ingress: [{rules}] }}");
    cluster.policy("x/policy", &spec);
}

/// What is told of a policy.
fn told(cluster: &Cluster, policy: &str) -> Vec<String> {
    cluster.settle();
    let of = format!("policy {policy} ");
    cluster.problems().into_iter().filter(|problem| problem.starts_with(&of)).collect()
}

#[test]
fn s28_peers_that_are_not_understood_are_nobody() {
    let cluster = Cluster::new(&["x/a", "x/b", "z/a"]);
    let pod_b = "podSelector: { matchLabels: { pod: b } }";
    let operator =
        |rest: &str| format!("{{ podSelector: {{ matchExpressions: [{{ key: pod, {rest} }}] }} }}");
    for peer in [
        "{}".into(),
        "{ podSelector: null, namespaceSelector: null }".into(),
        "{ serviceAccountSelector: {} }".into(),
        format!("{{ {pod_b}, serviceAccountSelector: {{}} }}"),
        "{ podSelector: { matchFields: { pod: b } } }".into(),
        "{ namespaceSelector: { matchNames: [x, z] } }".into(),
        operator("operator: Like"),
        operator("operator: Like, values: [b]"),
        operator("operator: in, values: [b]"),
        operator("operator: NotIn"),
        operator("operator: Exists, values: [b]"),
        operator("operator: Exists, matchPolicy: Exact"),
    ] {
        rules(&cluster, &format!("{{ from: [{peer}] }}"));
        cluster.expect_denied(&["* > x/a"]);
        assert_eq!(told(&cluster, "x/policy").len(), 1);
        // Beside it, who is understood gets in.
        rules(&cluster, &format!("{{ from: [{peer}, {{ {pod_b} }}] }}"));
        cluster.expect_denied(&["z/a > x/a"]);
    }
}

#[test]
fn s28_rules_that_are_not_understood_grant_nothing() {
    let cluster = Cluster::new(&["x/a", "x/b", "z/a"]);
    for rule in ["{ schedule: nightly }", "{ from: [{ podSelector: {} }], schedule: nightly }"] {
        rules(&cluster, rule);
        cluster.expect_denied(&["* > x/a"]);
        assert_eq!(told(&cluster, "x/policy").len(), 1);
    }
    rules(&cluster, "{ schedule: nightly }, { from: [{ podSelector: {} }] }");
    cluster.expect_denied(&["z/a > x/a"]);
}

#[test]
fn s28_a_policy_that_is_not_understood_isolates_its_namespace() {
    let cluster = Cluster::new(&["x/a", "x/b", "z/a"]);
    for spec in [
        "{ podSelector: { matchLabels: { pod: b } }, ingress: 5 }",
        "{ podSelector: [], ingress: [{}] }",
        "{ podSelector: { matchExpressions: [{ key: pod, operator: Like }] }, ingress: [{}] }",
        "{ podSelector: {}, ingress: [{}], policyTypes: [Ingress, Sideways] }",
        "{ podSelector: {}, ingress: [{}], schedule: nightly }",
        "[]",
    ] {
        println!("{spec}");
        cluster.policy("x/policy", spec);
        cluster.expect_denied(&["* > x/a", "* > x/b", "x/a > *", "x/b > *"]);
        assert_eq!(told(&cluster, "x/policy").len(), 1);
    }
}
