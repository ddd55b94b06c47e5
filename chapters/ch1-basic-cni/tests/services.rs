//! A Service whose pods are on the client's own bridge, made of nftables as kube-proxy would.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use lab::{Node, Sandbox};
use plugin::{add, address, conf, node};

/// DNAT for 10.96.0.10:80, and masquerade for a pod that reaches itself by it.
fn make_service(node: &Node, backend: &str) {
    node.sh(&format!(
        "nft -f - <<EOF
table ip service {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    ip daddr 10.96.0.10 tcp dport 80 dnat to {backend}:8080
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 1
    ip saddr {backend} ip daddr {backend} masquerade
  }}
}}
EOF"
    ))
    .unwrap();
}

/// Opens a socket by `f` in the pod's namespace; the socket stays there.
fn in_pod<T: Send>(node: &Node, pod: &Sandbox, f: impl FnOnce() -> T + Send) -> T {
    pod.enter(node, f).unwrap()
}

/// Who answers under the Service's address, if anybody.
fn call(node: &Node, pod: &Sandbox) -> std::io::Result<String> {
    in_pod(node, pod, || {
        let (service, patience) = ("10.96.0.10:80".parse().unwrap(), Duration::from_secs(20));
        let mut connection = TcpStream::connect_timeout(&service, patience)?;
        connection.set_read_timeout(Some(patience))?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map(|_| answer)
    })
}

#[test]
fn a_pod_reaches_another_pod_and_itself_through_a_service() {
    let node = node();
    // It must not depend on the node's default, which distributions set either way.
    node.sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables").unwrap();
    let [client, server] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &client, &conf());
    let backend = address(&add(&node, &server, &conf()));
    make_service(&node, &backend);
    let listener = in_pod(&node, &server, || TcpListener::bind("0.0.0.0:8080").unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for connection in listener.incoming().take(2) {
                connection.unwrap().write_all(b"backend").unwrap();
            }
        });
        let answers = [call(&node, &client), call(&node, &server)];
        // Whatever happened, the server must not wait for ever.
        for _ in answers.iter().filter(|answer| answer.is_err()) {
            in_pod(&node, &server, || TcpStream::connect("127.0.0.1:8080").map(drop)).unwrap();
        }
        let [from_client, from_itself] = answers;
        assert_eq!(from_client.unwrap(), "backend", "pod to another pod's Service");
        assert_eq!(from_itself.unwrap(), "backend", "pod to its own Service");
    });
}
