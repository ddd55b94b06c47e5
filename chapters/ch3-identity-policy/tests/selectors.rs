//! Whom selectors choose: pods to isolate, and pods to let in.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use probe::Cluster;
use serde_json::json;

/// Asserts who of all others gets into x/a when these peers may.
fn lets_in(cluster: &Cluster, peers: &str, expected: &[&str]) {
    println!("{peers}");
    cluster.policy(
        "x/policy",
        &format!(
            "{{ podSelector: {{ matchLabels: {{ pod: a }} }}, ingress: [{{ from: [{peers}] }}] }}"
        ),
    );
    cluster.expect(|from, to| to != "x/a" || from == to || expected.contains(&from));
}

#[test]
fn s5_an_empty_or_missing_pod_selector_isolates_the_whole_namespace() {
    let cluster = Cluster::new(&["x/a", "x/b", "z/a"]);
    for spec in ["{ podSelector: {} }", "{ policyTypes: [Ingress] }", "{ podSelector: null }"] {
        println!("{spec}");
        cluster.policy("x/policy", spec);
        cluster.expect_denied(&["* > x/*"]);
    }
}

#[test]
fn s8_peers_are_pods_of_the_own_namespace_or_of_those_selected() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c", "z/b", "z/c"]);
    let pods_b = "podSelector: { matchLabels: { pod: b } }";
    let in_z = "namespaceSelector: { matchLabels: { ns: z } }";
    for (peer, expected) in [
        (format!("{{ {pods_b} }}"), &["x/b"][..]),
        (format!("{{ {in_z} }}"), &["z/b", "z/c"]),
        (format!("{{ {pods_b}, {in_z} }}"), &["z/b"]),
        (format!("{{ {pods_b} }}, {{ {in_z} }}"), &["x/b", "z/b", "z/c"]),
        (format!("{{ {pods_b}, namespaceSelector: {{}} }}"), &["x/b", "z/b"]),
        (format!("{{ {pods_b}, namespaceSelector: null }}"), &["x/b"]),
        ("{ podSelector: {} }".into(), &["x/b", "x/c"]),
        (format!("{{ podSelector: {{}}, {in_z} }}"), &["z/b", "z/c"]),
        ("{ namespaceSelector: {} }".into(), &["x/b", "x/c", "z/b", "z/c"]),
    ] {
        lets_in(&cluster, &peer, expected);
    }
}

#[test]
fn s8_all_pods_of_all_namespaces_are_not_the_world() {
    let mut cluster = Cluster::new(&["x/a", "x/b", "z/b"]);
    cluster.outside(2);
    lets_in(&cluster, "{ podSelector: {}, namespaceSelector: {} }", &["x/b", "z/b"]);
    cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
}

#[test]
fn s9_all_operators_of_selectors() {
    let mut cluster = Cluster::new(&["x/a"]);
    cluster.run("x/web", &[("tier", "web"), ("env", "prod")]);
    cluster.run("x/db", &[("tier", "db"), ("env", "test")]);
    cluster.run("x/none", &[]);
    let everybody = &["x/db", "x/none", "x/web"][..];
    for (selector, expected) in [
        ("matchLabels: { tier: web }", &["x/web"][..]),
        ("matchLabels: { tier: web, env: test }", &[]),
        ("matchExpressions: [{ key: tier, operator: In, values: [web, cache] }]", &["x/web"]),
        ("matchExpressions: [{ key: tier, operator: In, values: [web, db] }]", &["x/db", "x/web"]),
        ("matchExpressions: [{ key: tier, operator: NotIn, values: [web] }]", &["x/db", "x/none"]),
        ("matchExpressions: [{ key: tier, operator: Exists }]", &["x/db", "x/web"]),
        ("matchExpressions: [{ key: tier, operator: DoesNotExist }]", &["x/none"]),
        (
            "matchExpressions: [{ key: tier, operator: Exists },
                                { key: env, operator: NotIn, values: [test] }]",
            &["x/web"],
        ),
        (
            "matchLabels: { tier: db }, matchExpressions: [{ key: env, operator: In, values: [prod] }]",
            &[],
        ),
        ("matchLabels: {}, matchExpressions: []", everybody),
        ("matchLabels: null, matchExpressions: null", everybody),
    ] {
        lets_in(&cluster, &format!("{{ podSelector: {{ {selector} }} }}"), expected);
    }
}

#[test]
fn s9_operators_select_namespaces_and_subjects_too() {
    let cluster = Cluster::new(&["w/a", "x/a", "z/a"]);
    cluster.namespace("w", &json!({ "env": "prod" }));
    cluster.namespace("z", &json!({}));
    let selector = "matchExpressions: [{ key: env, operator: NotIn, values: [prod] }]";
    lets_in(&cluster, &format!("{{ namespaceSelector: {{ {selector} }} }}"), &["z/a"]);
    for (operator, denied) in [("Exists", &["* > x/a"][..]), ("DoesNotExist", &[])] {
        let subject = format!("{{ key: pod, operator: {operator} }}");
        cluster
            .policy("x/policy", &format!("{{ podSelector: {{ matchExpressions: [{subject}] }} }}"));
        cluster.expect_denied(denied);
    }
}

#[test]
fn s10_every_namespace_is_labelled_with_its_name() {
    let cluster = Cluster::new(&["w/a", "x/a", "z/a"]);
    // As a directory of manifests may have it: no API server has seen to it.
    let bare = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "z" } });
    cluster.node.write_manifest("namespace_z.yaml", &bare.to_string()).unwrap();
    let name = "kubernetes.io/metadata.name";
    lets_in(
        &cluster,
        &format!("{{ namespaceSelector: {{ matchLabels: {{ {name}: z }} }} }}"),
        &["z/a"],
    );
}

#[test]
fn s27_a_policy_isolates_pods_of_its_own_namespace_only() {
    let cluster = Cluster::new(&["x/a", "z/a", "z/b"]);
    cluster.policy("z/policy", "{ podSelector: { matchLabels: { pod: a } } }");
    cluster.expect_denied(&["* > z/a"]);
}
