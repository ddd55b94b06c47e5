//! S24: who gets an address after another gets no more than the address.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use std::net::UdpSocket;
use std::time::Duration;

use lab::CniCall;
use plugin::{conf_with, node, succeed};
use probe::{Cluster, DEADLINE};
use serde_json::{Value, json};

/// So few addresses that the next pod gets the one that was freed last.
fn conf() -> Value {
    conf_with(json!({ "podcidr": "10.13.0.0/29" }))
}

fn full_node() -> Cluster {
    let node = node();
    node.write_config("10-ebpfcni.conf", &conf().to_string()).unwrap();
    Cluster::on(node, &["x/a", "x/b", "x/c", "x/d", "x/e"])
}

const FROM_B: &str = "{ podSelector: { matchLabels: { pod: a } },
                        ingress: [{ from: [{ podSelector: { matchLabels: { pod: b } } }] }] }";

#[test]
fn s24_a_new_owner_has_the_rights_of_its_own_labels() {
    let mut cluster = full_node();
    cluster.policy("x/from-b", FROM_B);
    cluster.expect_pairs(&["x/b > x/a"], &["x/c > x/a"]);
    let address = cluster.ip("x/b");
    cluster.remove("x/b");
    cluster.run("x/new", &[("pod", "new")]);
    assert_eq!(cluster.ip("x/new"), address);
    cluster.expect_pairs(&[], &["x/new > x/a", "x/c > x/a"]);

    // And is not isolated by what isolated the old one.
    let address = cluster.ip("x/a");
    cluster.remove("x/a");
    cluster.run("z/new", &[("pod", "a")]);
    assert_eq!(cluster.ip("z/new"), address);
    cluster.expect_denied(&[]);
}

#[test]
fn s24_a_late_del_of_an_old_sandbox_leaves_its_successor_alone() {
    let mut cluster = full_node();
    cluster.policy("x/from-b", FROM_B);
    let old = cluster.places["x/a"].clone();
    cluster.remove("x/a");
    // The same pod once more, as kubelet does when a sandbox dies.
    cluster.run("x/a", &[("pod", "a")]);
    assert_eq!(cluster.ip("x/a"), old.address);
    for _ in 0..2 {
        succeed(&cluster.node, CniCall::del(old.sandbox.as_ref().unwrap(), &conf()));
    }
    cluster.expect_denied(&["x/c > x/a", "x/d > x/a", "x/e > x/a"]);
}

/// A pod of another node: here nothing else tells them apart.
#[test]
fn s24_a_new_owner_answers_nothing_that_the_old_one_was_asked() {
    let mut cluster = Cluster::new(&["x/a"]);
    cluster.outside(2);
    cluster.policy("x/deny", "{ podSelector: {} }");
    cluster.namespace("z", &json!({}));
    let owner = |name: &str| {
        let address = json!({ "podIPs": [{ "ip": "192.0.2.2" }] });
        cluster.elsewhere(name, &json!({}), |pod| pod["status"] = address.clone());
    };
    owner("z/old");
    cluster.settle();
    let open = |place: &str| {
        let socket = cluster.places[place].enter(&cluster.node, || UdpSocket::bind("0.0.0.0:9000"));
        socket.unwrap()
    };
    let (client, server) = (open("x/a"), open("192.0.2.2"));
    // The server sees the node's address, by which its answer finds the client.
    // Asked again if need be: what is sent while a link is just coming up may be lost.
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let asks = || {
        let heard = (0..100).find_map(|_| {
            client.send_to(b"question", (cluster.ip("192.0.2.2"), 9000)).unwrap();
            server.recv_from(&mut [0; 8]).ok()
        });
        heard.unwrap().1
    };
    let answers = |to, time| {
        server.send_to(b"answer", to).unwrap();
        client.set_read_timeout(Some(time)).unwrap();
        client.recv(&mut [0; 8]).is_ok()
    };
    let to = asks();
    assert!(answers(to, DEADLINE));
    cluster.node.remove_manifest("pod_z_old.yaml").unwrap();
    owner("z/new");
    cluster.settle();
    assert!(!answers(to, Duration::from_millis(300)));
    assert!(answers(asks(), DEADLINE));
}
