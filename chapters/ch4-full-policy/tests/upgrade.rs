//! From chapter 3 to this one and back, with pods that go on talking.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// Chapter 3 enforces the first; of the others it grants nothing.
const POLICIES: [&str; 3] = [
    "{podSelector: {matchLabels: {app: backend}}, ingress: [{from: [{podSelector: {matchLabels: {app: frontend}}}]}]}",
    "{podSelector: {matchLabels: {app: shut}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: frontend}}}]}]}",
    // Now pods that have a port `http` are identities of their own, each by its number.
    "{podSelector: {matchLabels: {app: frontend}}, ingress: [{ports: [{port: http}]}]}",
];

fn policies() -> Vec<String> {
    let object = |(number, spec)| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{number}}}, spec: {spec}}}"
        )
    };
    POLICIES.iter().enumerate().map(object).collect()
}

fn ip(pod: &Pod) -> Ipv4Addr {
    pod.ip.unwrap()
}

fn enter<T: Send>(node: &Node, pod: &Pod, work: impl FnOnce() -> T + Send) -> T {
    pod.sandbox.as_ref().unwrap().enter(node, work).unwrap()
}

/// Datagrams to a pod, a thousand a second, and how many were sent.
struct Stream {
    socket: UdpSocket,
    sent: AtomicU64,
}

impl Stream {
    fn new(node: &Node, from: &Pod, to: &Pod, port: u16) -> Self {
        let socket = enter(node, from, || UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.connect((ip(to), port)).unwrap();
        Self { socket, sent: AtomicU64::new(0) }
    }

    fn run(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            self.socket.send(b"?").unwrap();
            self.sent.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn server(node: &Node, pod: &Pod, port: u16) -> UdpSocket {
    let socket = enter(node, pod, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
    socket.set_nonblocking(true).unwrap();
    setsockopt(&socket, RcvBufForce, &(16 << 20)).unwrap();
    socket
}

fn arrived(server: &UdpSocket) -> u64 {
    let mut count = 0;
    while server.recv(&mut [0; 8]).is_ok() {
        count += 1;
    }
    count
}

/// A byte there, and one back.
fn echo([client, server]: [&TcpStream; 2]) {
    for (mut from, mut to) in [(client, server), (server, client)] {
        from.write_all(b"x").unwrap();
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        to.read_exact(&mut [0]).unwrap();
    }
}

fn this_chapter(node: &Node) {
    node.stop_agent().and_then(|()| node.start_agent(Path::new(plugin::AGENT))).unwrap();
    node.install_plugin(Path::new(plugin::BINARY)).unwrap();
}

#[test]
fn running_pods_keep_network_policy_and_connections_from_chapter_3_and_back() {
    let node = Node::new().unwrap();
    chapter::install(&node, "ch3", Profile::Dev).unwrap();
    let http = json!({ "ports": [{ "name": "http", "containerPort": 80 }] });
    let mut frontend = PodSpec::new("frontend").label("app", "frontend");
    frontend.containers.push(http);
    let run = |spec| node.run_pod(spec).unwrap();
    let frontend = run(frontend);
    let [backend, shut] =
        ["backend", "shut"].map(|name| run(PodSpec::new(name).label("app", name)));
    // The frontend lets nobody in by itself: what comes to it are answers.
    let listener = enter(&node, &backend, || TcpListener::bind("0.0.0.0:0").unwrap());
    let address = (ip(&backend), listener.local_addr().unwrap().port());
    for policy in policies() {
        node.apply(&policy).unwrap();
    }
    node.wait_until_in_force(PATIENCE).unwrap();
    let client = enter(&node, &frontend, || TcpStream::connect(address).unwrap());
    let connection = [&client, &listener.accept().unwrap().0];
    echo(connection);

    let streams =
        [Stream::new(&node, &frontend, &backend, 7), Stream::new(&node, &shut, &backend, 8)];
    let servers = [server(&node, &backend, 7), server(&node, &backend, 8)];
    let (over, came) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let count = || {
        for (server, came) in servers.iter().zip(&came) {
            came.fetch_add(arrived(server), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for stream in &streams {
            scope.spawn(|| stream.run(&over));
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                count();
                thread::sleep(Duration::from_millis(50));
            }
        });
        this_chapter(&node);
        echo(connection);
        chapter::install(&node, "ch3", Profile::Dev).unwrap();
        echo(connection);
        this_chapter(&node);
        echo(connection);
        over.store(true, Ordering::Relaxed);
    });
    let sent = streams.map(|stream| stream.sent.into_inner());
    let came = || came.each_ref().map(|came| came.load(Ordering::Relaxed));
    lab::wait_until(PATIENCE, || {
        count();
        came()[0] == sent[0]
    });
    assert_eq!(came(), [sent[0], 0], "of {sent:?}");
}
