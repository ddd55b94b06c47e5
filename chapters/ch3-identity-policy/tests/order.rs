//! While maps change, nothing gets through that neither the old state nor the new one allows,
//! and nothing is lost that both allow.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod raw;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lab::{Kind, Node, Pod, PodSpec, Raise};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use plugin::ready_node;
use raw::ip;

/// Lets in pods with one of these values of `app`.
fn policy(name: &str, allowed: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}}}, \
         spec: {{podSelector: {{matchLabels: {{app: victim}}}}, ingress: [{{from: [{{podSelector: \
         {{matchExpressions: [{{key: app, operator: In, values: [{allowed}]}}]}}}}]}}]}}}}"
    )
}

/// Sends datagrams to a pod as fast as it can until the test is over, and counts both ends.
struct Stream {
    socket: UdpSocket,
    to: (std::net::Ipv4Addr, u16),
    sent: AtomicU64,
}

impl Stream {
    fn new(node: &Node, from: &Pod, to: &Pod, port: u16) -> Self {
        let open = || UdpSocket::bind("0.0.0.0:0").unwrap();
        let socket = from.sandbox.as_ref().unwrap().enter(node, open).unwrap();
        Self { socket, to: (ip(to), port), sent: AtomicU64::new(0) }
    }

    fn run(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            self.socket.send_to(b"?", self.to).unwrap();
            self.sent.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// A socket in the victim that counts.
fn counter(node: &Node, victim: &Pod, port: u16) -> UdpSocket {
    let open = || UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let socket = victim.sandbox.as_ref().unwrap().enter(node, open).unwrap();
    socket.set_nonblocking(true).unwrap();
    // Room for all of a stream: on a busy machine who counts may come late.
    setsockopt(&socket, RcvBufForce, &(16 << 20)).unwrap();
    socket
}

fn count(socket: &UdpSocket, over: &AtomicBool) -> u64 {
    let mut counted = 0;
    loop {
        let was_over = over.load(Ordering::Relaxed);
        while socket.recv(&mut [0; 8]).is_ok() {
            counted += 1;
        }
        if was_over {
            return counted;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// What arrives of the friend's and the stranger's streams while `change` goes on.
fn while_changing(change: impl Fn(&Node, u32) + Sync) -> (u64, u64, u64) {
    let node = ready_node();
    node.apply(&policy("first", "friend, ally")).unwrap();
    let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
    let [victim, friend, stranger] = ["victim", "friend", "stranger"].map(pod);
    // Who is where is known: no datagram waits for ARP.
    friend.ping(&node, ip(&victim)).unwrap();
    let _ = stranger.run(&node, &["ping", "-c1", "-W1", &ip(&victim).to_string()]);
    let sockets = [counter(&node, &victim, 1), counter(&node, &victim, 2)];
    let streams =
        [Stream::new(&node, &friend, &victim, 1), Stream::new(&node, &stranger, &victim, 2)];
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let counts = [&sockets[0], &sockets[1]].map(|it| scope.spawn(|| count(it, &over)));
        let senders = [&streams[0], &streams[1]].map(|it| scope.spawn(|| it.run(&stop)));
        let (stop, over) = (Raise(&stop), Raise(&over));
        for round in 0..20 {
            change(&node, round);
            // Until the next change some datagrams go by.
            let sent = streams[0].sent.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(10);
            while streams[0].sent.load(Ordering::Relaxed) < sent + 100 {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
        }
        drop(stop);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        // What was sent last is on its way: a packet of its own tells when it has arrived.
        friend.ping(&node, ip(&victim)).unwrap();
        drop(over);
        let [friends, strangers] = counts.map(|count| count.join().unwrap());
        (streams[0].sent.load(Ordering::Relaxed), friends, strangers)
    })
}

#[test]
fn policies_that_come_and_go_cost_nobody_a_packet_who_is_allowed_all_the_while() {
    let (sent, friends, _) = while_changing(|node, round| {
        // Isolated or not, by one policy or by two: the friend is always let in.
        match round % 4 {
            0 => drop(node.apply(&policy("second", "friend, other")).unwrap()),
            1 => node.delete_object(Kind::NetworkPolicy, "default", "first").unwrap(),
            2 => node.delete_object(Kind::NetworkPolicy, "default", "second").unwrap(),
            _ => drop(node.apply(&policy("first", "friend, ally")).unwrap()),
        }
    });
    assert!(sent > 2000);
    assert_eq!(friends, sent);
}

#[test]
fn one_policy_that_takes_anothers_place_lets_in_nobody_between_them() {
    let (_, friends, strangers) = while_changing(|node, round| {
        let names = ["second", "first"];
        let [new, old] = if round % 2 == 0 { names } else { ["first", "second"] };
        node.apply(&policy(new, "friend, ally")).unwrap();
        node.delete_object(Kind::NetworkPolicy, "default", old).unwrap();
        node.apply(&policy(new, &format!("friend, ally, number-{round}"))).unwrap();
    });
    assert!(friends > 1000);
    assert_eq!(strangers, 0);
}

#[test]
fn who_is_relabelled_keeps_what_both_labels_may() {
    let (sent, friends, strangers) = while_changing(|node, round| {
        let app = if round % 2 == 0 { "ally" } else { "friend" };
        node.label(Kind::Pod, "default", "friend", &[("app", Some(app))]).unwrap();
    });
    assert_eq!(strangers, 0);
    assert_eq!(friends, sent);
}
