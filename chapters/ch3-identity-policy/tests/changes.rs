//! Whatever changes, everybody is judged anew.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use lab::Kind;
use probe::Cluster;

fn cluster() -> Cluster {
    Cluster::new(&["x/a", "x/b", "z/a"])
}

/// Isolates friends' pods, and lets in pods of friends and of friendly namespaces.
const FRIENDS: &str = "{ podSelector: { matchLabels: { host: 'yes' } }, ingress: [{ from: [
    { podSelector: { matchLabels: { friend: 'yes' } } },
    { namespaceSelector: { matchLabels: { friend: 'yes' } } } ] }] }";

#[test]
fn s22_a_policy_is_made_changed_and_deleted() {
    let cluster = cluster();
    let on = |pod: &str, rules: &str| {
        let spec = format!("{{ podSelector: {{ matchLabels: {{ pod: {pod} }} }}, {rules} }}");
        cluster.policy("x/policy", &spec);
    };
    on("a", "policyTypes: [Ingress]");
    cluster.expect_denied(&["* > x/a"]);
    on("a", "ingress: [{ from: [{ podSelector: {} }] }]");
    cluster.expect_denied(&["z/a > x/a"]);
    on("a", "ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: z } } }] }]");
    cluster.expect_denied(&["x/b > x/a"]);
    on("b", "policyTypes: [Ingress]");
    cluster.expect_denied(&["* > x/b"]);
    on("b", "policyTypes: [Egress]");
    cluster.expect_denied(&["x/b > *"]);
    cluster.delete_policy("x/policy");
    cluster.expect_denied(&[]);
}

#[test]
fn s22_what_one_policy_allowed_ends_with_it_and_isolation_with_the_last() {
    let cluster = cluster();
    cluster.policy("x/deny", "{ podSelector: {} }");
    cluster.policy(
        "x/from-z",
        "{ ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: z } } }] }] }",
    );
    cluster.expect_denied(&["x/* > x/*"]);
    cluster.delete_policy("x/from-z");
    cluster.expect_denied(&["* > x/*"]);
    cluster.delete_policy("x/deny");
    cluster.expect_denied(&[]);
}

#[test]
fn s22_a_pod_gets_a_label_and_loses_it() {
    let cluster = cluster();
    cluster.policy("x/friends", FRIENDS);
    cluster.expect_denied(&[]);
    cluster.label("x/a", "host", Some("yes"));
    cluster.expect_denied(&["* > x/a"]);
    cluster.label("x/b", "friend", Some("yes"));
    cluster.expect_denied(&["z/a > x/a"]);
    cluster.label("x/b", "friend", Some("no"));
    cluster.expect_denied(&["* > x/a"]);
    cluster.label("x/a", "host", None);
    cluster.expect_denied(&[]);
}

#[test]
fn s22_a_namespace_gets_a_label_and_loses_it() {
    let cluster = cluster();
    cluster.policy("x/friends", FRIENDS);
    cluster.label("x/a", "host", Some("yes"));
    cluster.expect_denied(&["* > x/a"]);
    cluster.label("z", "friend", Some("yes"));
    cluster.expect_denied(&["x/b > x/a"]);
    cluster.label("z", "friend", None);
    cluster.expect_denied(&["* > x/a"]);
}

#[test]
fn s27_with_a_namespace_go_its_policies_and_a_new_one_of_its_name_has_none() {
    let mut cluster = cluster();
    cluster.policy("z/deny", "{ podSelector: {} }");
    cluster.policy(
        "x/from-z",
        "{ ingress: [{ from: [{ namespaceSelector: { matchLabels: { ns: z } } }] }] }",
    );
    cluster.expect_denied(&["* > z/a", "x/* > x/*"]);
    cluster.remove("z/a");
    cluster.node.delete_object(Kind::Namespace, "", "z").unwrap();
    cluster.expect_denied(&["* > x/*"]);
    // Without the label by which the old one was let in.
    cluster.run("z/a", &[("pod", "a")]);
    cluster.expect_denied(&["* > x/*"]);
}
