//! The node itself, pods of its network, and pods of other nodes.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use probe::Cluster;
use serde_json::{Value, json};

/// x/a lets in friends from everywhere, and nobody else.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(&["x/a"]);
    cluster.outside(9);
    let friends = "{ podSelector: { matchLabels: { friend: 'yes' } }, namespaceSelector: {} }";
    cluster.policy("x/friends", &format!("{{ ingress: [{{ from: [{friends}] }}] }}"));
    cluster
}

/// A friend, as the API would show it.
fn friend(cluster: &Cluster, name: &str, change: impl Fn(&mut Value)) {
    cluster.elsewhere(&format!("x/{name}"), &json!({ "friend": "yes" }), change);
}

fn at(address: &str) -> Value {
    json!([{ "ip": address }])
}

#[test]
fn s15_the_node_reaches_every_pod_however_isolated() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    cluster.policy("x/deny", "{ podSelector: {}, policyTypes: [Ingress, Egress] }");
    cluster.expect_pairs(&["node > x/a", "node > x/b"], &["x/a > x/b", "x/b > x/a"]);
}

#[test]
fn s18_a_pod_of_a_nodes_network_is_the_node_neither_endpoint_nor_peer() {
    let mut cluster = cluster();
    cluster.run("x/b", &[]);
    friend(&cluster, "on-another-node", |pod| {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["status"]["podIPs"] = at("192.0.2.2");
    });
    friend(&cluster, "on-this-node", |pod| {
        pod["spec"] = json!({ "nodeName": cluster.node.name(), "hostNetwork": true });
        pod["status"]["podIPs"] = at("10.13.0.1");
    });
    friend(&cluster, "with-its-own", |pod| pod["status"]["podIPs"] = at("192.0.2.3"));
    cluster.policy(
        "x/deny",
        "{ podSelector: { matchLabels: { friend: 'yes' } }, policyTypes: [Ingress, Egress] }",
    );
    cluster.serve_outside();
    // Nothing isolates 192.0.2.2 and the node, and as friends they are not known.
    cluster
        .expect_pairs(&["node > x/a", "x/b > 10.13.0.1", "x/b > 192.0.2.2"], &["192.0.2.2 > x/a"]);
    let addresses: Vec<_> = cluster.endpoint_map().into_keys().collect();
    assert_eq!(addresses, ["10.13.0.2", "10.13.0.3", "192.0.2.3"]);
}

#[test]
fn s23_a_pod_of_another_node_owns_its_address_until_it_has_ended() {
    let cluster = cluster();
    friend(&cluster, "running", |pod| pod["status"]["podIPs"] = at("192.0.2.2"));
    friend(&cluster, "initializing", |pod| {
        pod["status"] = json!({ "phase": "Pending", "podIPs": at("192.0.2.3") });
    });
    friend(&cluster, "terminating", |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["status"]["podIPs"] = at("192.0.2.4");
    });
    friend(&cluster, "pending", |pod| {
        pod["status"] = json!({ "phase": "Pending", "podIPs": null });
    });
    for (name, phase, address) in
        [("succeeded", "Succeeded", "192.0.2.5"), ("failed", "Failed", "192.0.2.6")]
    {
        friend(&cluster, name, |pod| {
            pod["status"] = json!({ "phase": phase, "podIPs": at(address) });
        });
    }
    friend(&cluster, "unscheduled", |pod| {
        pod["spec"] = json!({});
        pod["status"]["podIPs"] = at("192.0.2.7");
    });
    cluster.expect_pairs(
        &["192.0.2.2 > x/a", "192.0.2.3 > x/a", "192.0.2.4 > x/a"],
        &["192.0.2.5 > x/a", "192.0.2.6 > x/a", "192.0.2.7 > x/a", "192.0.2.8 > x/a"],
    );
    let remote = ["192.0.2.2", "192.0.2.3", "192.0.2.4"].map(|it| (it.into(), false));
    let expected = [("10.13.0.2".into(), true)].into_iter().chain(remote).collect();
    assert_eq!(cluster.endpoint_map(), expected);
}

#[test]
fn s23_when_a_pod_ends_its_address_is_nobodys_or_its_successors() {
    let cluster = cluster();
    friend(&cluster, "first", |pod| pod["status"]["podIPs"] = at("192.0.2.2"));
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
    friend(&cluster, "first", |pod| {
        pod["status"] = json!({ "phase": "Succeeded", "podIPs": at("192.0.2.2") });
    });
    cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
    friend(&cluster, "second", |pod| pod["status"]["podIPs"] = at("192.0.2.2"));
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
    cluster.node.remove_manifest("pod_x_first.yaml").unwrap();
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
    cluster.node.remove_manifest("pod_x_second.yaml").unwrap();
    cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
}

#[test]
fn two_live_pods_that_claim_one_address_are_told_of_and_one_has_it() {
    let cluster = cluster();
    let told = || -> Vec<_> {
        cluster.problems().into_iter().filter(|it| it.contains(" claim ")).collect()
    };
    let created = |second: u32| json!(format!("2026-01-01T00:00:0{second}Z"));
    friend(&cluster, "older", |pod| {
        pod["metadata"]["creationTimestamp"] = created(1);
        pod["status"]["podIPs"] = at("192.0.2.2");
    });
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
    assert_eq!(told(), [""; 0]);
    cluster.elsewhere("x/younger", &json!({}), |pod| {
        pod["metadata"]["creationTimestamp"] = created(2);
        pod["status"]["podIPs"] = at("192.0.2.2");
    });
    cluster.expect_pairs(&[], &["192.0.2.2 > x/a"]);
    assert_eq!(told(), ["x/older and x/younger claim the address 192.0.2.2: x/younger has it"]);
    // As a pod of this node has its own, whoever claims it.
    let own = cluster.ip("x/a").to_string();
    friend(&cluster, "younger", |pod| pod["status"]["podIPs"] = at(&own));
    cluster.expect_pairs(&["192.0.2.2 > x/a"], &[]);
    assert_eq!(told(), [format!("x/a and x/younger claim the address {own}: x/a has it")]);
    // One that is being deleted has given it back, or will soon.
    friend(&cluster, "younger", |pod| {
        pod["metadata"]["deletionTimestamp"] = created(3);
        pod["status"]["podIPs"] = at(&own);
    });
    cluster.settle();
    assert_eq!(told(), [""; 0]);
}

/// A pod of this node is an endpoint from ADD to DEL, whatever the API says meanwhile.
#[test]
fn s23_a_pod_of_this_node_stays_isolated_until_its_sandbox_is_gone() {
    let mut cluster = Cluster::new(&["x/a", "x/b"]);
    cluster.policy("x/deny", "{ podSelector: { matchLabels: { pod: a } } }");
    let pod = cluster.node.object(lab::Kind::Pod, "x", "a").unwrap().unwrap();
    let write = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod.clone();
        change(&mut pod);
        cluster.node.write_manifest("pod_x_a.yaml", &pod.to_string()).unwrap();
    };
    write(&|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    cluster.expect_denied(&["* > x/a"]);
    write(&|pod| pod["status"]["phase"] = json!("Failed"));
    cluster.expect_denied(&["* > x/a"]);
    cluster.node.remove_manifest("pod_x_a.yaml").unwrap();
    cluster.expect_denied(&["* > x/a"]);
    let address = cluster.ip("x/a").to_string();
    assert!(cluster.endpoint_map().contains_key(&address));
    cluster.remove("x/a");
    assert!(!cluster.endpoint_map().contains_key(&address));
}
