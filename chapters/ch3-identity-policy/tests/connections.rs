//! What follows an allowed connection, and what ends one.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::Duration;

use probe::{Cluster, DEADLINE};
use serde_json::json;

/// How long to listen for what must not come.
const SETTLE: Duration = Duration::from_millis(300);

const FROM_B: &str = "{ podSelector: { matchLabels: { pod: a } },
                        ingress: [{ from: [{ podSelector: { matchLabels: { pod: b } } }] }] }";

/// A TCP connection: the client's end, the server's end.
fn connect(cluster: &Cluster, from: &str, to: &str) -> (TcpStream, TcpStream) {
    let listener = cluster.places[to].enter(&cluster.node, || TcpListener::bind("0.0.0.0:0"));
    let listener = listener.unwrap();
    let address = SocketAddr::from((cluster.ip(to), listener.local_addr().unwrap().port()));
    let connect = || TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    (cluster.places[from].enter(&cluster.node, connect), listener.accept().unwrap().0)
}

/// Does a byte get from one end to the other in time?
fn passes(mut from: &TcpStream, mut to: &TcpStream, time: Duration) -> bool {
    from.write_all(b"x").unwrap();
    to.set_read_timeout(Some(time)).unwrap();
    match to.read(&mut [0]) {
        Ok(count) => count == 1,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// A UDP socket in a pod, connected to another pod's.
fn udp(cluster: &Cluster, from: &str, to: (&str, u16)) -> UdpSocket {
    let socket = cluster.places[from].enter(&cluster.node, || UdpSocket::bind("0.0.0.0:0"));
    let socket = socket.unwrap();
    socket.connect((cluster.ip(to.0), to.1)).unwrap();
    socket
}

#[test]
fn s16_answers_come_to_a_pod_that_lets_nobody_in() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    cluster.policy("x/deny", "{ podSelector: { matchLabels: { pod: a } } }");
    cluster.expect_denied(&["x/b > x/a"]);
    cluster.ping("x/a", "x/b");
}

#[test]
fn s19_arp_works_whoever_is_isolated() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c"]);
    cluster.policy("x/from-b", FROM_B);
    for pod in ["x/a", "x/b"] {
        let sandbox = cluster.places[pod].sandbox.as_ref().unwrap();
        sandbox.run(&cluster.node, &["ip", "neigh", "flush", "all"]).unwrap();
    }
    cluster.expect_denied(&["x/c > x/a"]);
}

#[test]
fn s19_an_allowed_datagram_to_a_closed_port_is_refused_and_a_denied_one_is_not() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c"]);
    cluster.policy("x/from-b", FROM_B);
    // Who is told may be isolated, too: the error belongs to what it asked.
    cluster.policy(
        "x/deny",
        "{ podSelector: { matchExpressions: [{ key: pod, operator: NotIn, values: [a] }] } }",
    );
    cluster.settle();
    let refused = |from: &str, time: Duration| {
        let socket = udp(&cluster, from, ("x/a", 9));
        socket.send(b"x").unwrap();
        socket.set_read_timeout(Some(time)).unwrap();
        socket.recv(&mut [0]).unwrap_err().kind()
    };
    assert_eq!(refused("x/b", DEADLINE), ErrorKind::ConnectionRefused);
    assert_eq!(refused("x/c", SETTLE), ErrorKind::WouldBlock);
}

#[test]
fn s20_an_open_connection_ends_with_its_policy_in_both_directions() {
    for ends in [
        (|cluster: &Cluster| cluster.policy("x/from-b", "{ podSelector: {} }")) as fn(&Cluster),
        |cluster| cluster.label("x/b", "pod", Some("c")),
        |cluster| {
            cluster.policy(
                "x/out",
                "{ podSelector: { matchLabels: { pod: b } }, policyTypes: [Egress] }",
            )
        },
    ] {
        let cluster = Cluster::new(&["x/a", "x/b"]);
        cluster.policy("x/from-b", FROM_B);
        cluster.policy("x/b", "{ podSelector: { matchLabels: { pod: b } } }");
        cluster.settle();
        let (client, server) = connect(&cluster, "x/b", "x/a");

        // What concerns others does not concern it.
        cluster.policy("x/c", "{ podSelector: { matchLabels: { pod: c } } }");
        cluster.label("x/b", "more", Some("labels"));
        cluster.namespace("z", &json!({}));
        cluster.settle();
        assert!(passes(&client, &server, DEADLINE) && passes(&server, &client, DEADLINE));

        ends(&cluster);
        cluster.settle();
        assert!(!passes(&client, &server, SETTLE) && !passes(&server, &client, SETTLE));
        cluster.expect_pairs(&["node > x/a"], &["x/b > x/a"]);
    }
}

/// Of such a connection only one end is on this node, so only one veth sees it.
#[test]
fn s20_a_connection_with_another_node_ends_with_its_policy_too() {
    let mut cluster = Cluster::new(&["x/a", "x/c"]);
    cluster.outside(2);
    cluster.elsewhere("x/b", &json!({ "pod": "b" }), |pod| {
        pod["status"]["podIPs"] = json!([{ "ip": "192.0.2.2" }]);
    });
    cluster.policy("x/from-b", FROM_B);
    cluster.settle();
    let (remote_client, server) = connect(&cluster, "192.0.2.2", "x/a");
    let (client, remote_server) = connect(&cluster, "x/c", "192.0.2.2");
    let both = [(&remote_client, &server), (&client, &remote_server)];
    for (client, server) in both {
        assert!(passes(client, server, DEADLINE) && passes(server, client, DEADLINE));
    }
    cluster.policy("x/from-b", "{ podSelector: { matchLabels: { pod: a } } }");
    cluster.policy("x/c", "{ podSelector: { matchLabels: { pod: c } }, policyTypes: [Egress] }");
    cluster.settle();
    for (client, server) in both {
        assert!(!passes(client, server, SETTLE) && !passes(server, client, SETTLE));
    }
}

#[test]
fn s20_a_one_way_stream_of_datagrams_ends_with_its_policy_and_loses_nothing_before() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c"]);
    cluster.policy("x/from-b", FROM_B);
    cluster.settle();
    let sink = cluster.places["x/a"].enter(&cluster.node, || UdpSocket::bind("0.0.0.0:9000"));
    let (sink, source) = (sink.unwrap(), udp(&cluster, "x/b", ("x/a", 9000)));
    let arrives = |time| {
        source.send(b"x").unwrap();
        sink.set_read_timeout(Some(time)).unwrap();
        sink.recv(&mut [0]).is_ok()
    };
    thread::scope(|scope| {
        // It ends with its other end, also when the test fails.
        let (goes_on, end) = mpsc::channel::<()>();
        scope.spawn(move || {
            while end.try_recv() == Err(TryRecvError::Empty) {
                assert!(arrives(DEADLINE), "it is not concerned");
            }
        });
        for n in 0..5 {
            cluster.policy(&format!("x/c-{n}"), "{ podSelector: { matchLabels: { pod: c } } }");
            cluster.label("x/c", "more", Some(&n.to_string()));
            cluster.settle();
        }
        drop(goes_on);
    });
    assert!(arrives(DEADLINE));
    cluster.policy("x/from-b", "{ podSelector: { matchLabels: { pod: a } } }");
    cluster.settle();
    assert!(!arrives(SETTLE));
    cluster.expect_pairs(&["node > x/a"], &["x/b > x/a"]);
}
