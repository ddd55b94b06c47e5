//! Policies and Services: what counts is the pod behind the Service's address.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use probe::Cluster;

const FROM_B: &str = "{ podSelector: { matchLabels: { pod: a } },
                        ingress: [{ from: [{ podSelector: { matchLabels: { pod: b } } }] }] }";

#[test]
fn s26_a_service_lets_in_whom_the_pod_behind_it_lets_in() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c", "z/a"]);
    cluster.policy("x/from-b", FROM_B);
    cluster.service("x/a");
    cluster.expect_pairs(&["x/b > 10.96.0.10"], &["x/c > 10.96.0.10", "z/a > 10.96.0.10"]);
    cluster.service("z/a");
    cluster.expect_pairs(&["x/b > 10.96.0.10", "x/c > 10.96.0.10"], &[]);
}

#[test]
fn s26_a_pod_isolated_for_egress_reaches_no_service() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c"]);
    cluster
        .policy("x/egress", "{ podSelector: { matchLabels: { pod: c } }, policyTypes: [Egress] }");
    cluster.service("x/a");
    cluster.expect_pairs(&["x/b > 10.96.0.10"], &["x/c > 10.96.0.10"]);
}

/// Who has the same labels has the same identity, and is another pod all the same.
#[test]
fn s17_an_isolated_pod_reaches_itself_also_by_its_service_and_its_twin_does_not() {
    let mut cluster = Cluster::new(&["x/a", "x/b"]);
    cluster.run("x/twin", &[("pod", "a")]);
    let identity =
        |pod: &str| cluster.agent(&["endpoint", "get", pod, "-o", "json"])["identity"].clone();
    assert_eq!(identity("x/a"), identity("x/twin"));
    cluster.policy("x/from-b", FROM_B);
    cluster.service("x/a");
    cluster.expect_pairs(
        &["x/a > x/a", "x/a > 10.96.0.10", "x/b > 10.96.0.10"],
        &["x/twin > x/a", "x/twin > 10.96.0.10"],
    );
}
