//! A client whose policies say where it may send, and packets made by hand around it.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod packet;

use std::net::Ipv4Addr;
use std::time::Duration;

use lab::{Node, Pod, PodSpec, Sandbox};

use crate::plugin::ready_node;
use crate::raw::{PATIENCE, RawSocket, UDP, ip, tc_drops};
use crate::scene::{OUTSIDE, outside};
pub use packet::{datagram, with_content};

/// The pods' gateway, and what they take for a Service.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 13, 0, 1);
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The node's address outside.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// More fragments follow.
pub const MORE: u16 = 0x2000;

/// `client`, about which the policies are; `server` and `other`, two pods; somebody outside.
pub struct Hand {
    pub node: Node,
    pub client: Pod,
    pub server: Pod,
    pub other: Pod,
    pub outside: Sandbox,
}

impl Hand {
    /// Nothing is isolated yet.
    pub fn new() -> Self {
        let node = ready_node();
        let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
        let [client, server, other] = ["client", "server", "other"].map(pod);
        let outside = outside(&node);
        let all = "net.ipv4.conf.all.rp_filter=0";
        node.run(&["sysctl", "-qw", all]).unwrap();
        // What leads to a Service's address leads outside, as everything does.
        node.sh("ip route add default via 192.0.2.2").unwrap();
        let hand = Self { node, client, server, other, outside };
        hand.warm_up();
        hand
    }

    /// Until neighbours are known, the first packets wait.
    fn warm_up(&self) {
        for pod in [&self.client, &self.server, &self.other] {
            let sandbox = pod.sandbox.as_ref().unwrap();
            sandbox.ping(&self.node, OUTSIDE).unwrap();
            for to in [&self.client, &self.server, &self.other] {
                sandbox.ping(&self.node, ip(to)).unwrap();
            }
        }
    }

    /// The policy about a pod: what is below `spec`, without whom it is about. In force on return.
    pub fn policy(&self, pod: &str, spec: &str) {
        let about = format!("podSelector: {{ matchLabels: {{ app: {pod} }} }}");
        self.node
            .apply(&format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                 metadata: {{ name: {pod} }}\nspec: {{ {about}, {spec} }}"
            ))
            .unwrap();
        self.node.wait_until_in_force(PATIENCE).unwrap();
    }

    /// Takes all away.
    pub fn no_policies(&self) {
        let all = self.node.objects(lab::Kind::NetworkPolicy).unwrap();
        for policy in all.iter().filter_map(|it| it["metadata"]["name"].as_str()) {
            self.node.delete_object(lab::Kind::NetworkPolicy, "default", policy).unwrap();
        }
    }

    /// Takes one away.
    pub fn no_policy(&self, pod: &str) {
        self.node.delete_object(lab::Kind::NetworkPolicy, "default", pod).unwrap();
        self.node.wait_until_in_force(PATIENCE).unwrap();
    }

    /// A Service, by UDP: `10.96.0.10:53` for what an address and port are behind it.
    pub fn service(&self, port: u16, target: Ipv4Addr, target_port: u16) {
        self.node
            .sh(&format!(
                "nft add table ip hand
                 nft 'add chain ip hand pre {{ type nat hook prerouting priority dstnat; }}'
                 nft add rule ip hand pre ip daddr 10.96.0.10 udp dport {port} \
                   dnat to {target}:{target_port}"
            ))
            .unwrap();
    }

    pub fn send(&self, from: &Sandbox, frame: &[u8]) {
        from.enter(&self.node, || RawSocket::on("eth0").send(frame)).unwrap();
    }

    /// Sends it from the client.
    pub fn client_sends(&self, frame: &[u8]) {
        self.send(self.client.sandbox.as_ref().unwrap(), frame);
    }

    /// Sends it, and says whether a packet with this content arrives somewhere. It does not if TC has
    /// dropped something, or must have, and nothing comes in the second after that.
    pub fn arrives(&self, from: &Sandbox, to: &Sandbox, frame: &[u8], content: &[u8]) -> bool {
        let there = to.enter(&self.node, || RawSocket::on("eth0")).unwrap();
        let before = tc_drops(&self.node);
        self.send(from, frame);
        let has_it = |heard: &[u8]| heard.windows(content.len()).any(|it| it == content);
        let mut is_heard = false;
        let is_decided = lab::wait_until(PATIENCE, || {
            let is_dropped = tc_drops(&self.node) > before;
            is_heard = there.hears_any(has_it, Duration::from_secs(1));
            is_heard || is_dropped
        });
        assert!(is_decided, "in {PATIENCE:?} the frame was neither dropped nor heard");
        is_heard
    }

    /// Sends frames, and says whether such content comes somewhere soon. For what somebody else than TC
    /// may drop; beside what does come.
    pub fn comes(&self, from: &Sandbox, to: &Sandbox, frames: &[&[u8]], content: &[u8]) -> bool {
        let there = to.enter(&self.node, || RawSocket::on("eth0")).unwrap();
        frames.iter().for_each(|frame| self.send(from, frame));
        let has_it = |heard: &[u8]| heard.windows(content.len()).any(|it| it == content);
        there.hears_any(has_it, Duration::from_millis(500))
    }

    /// The client sends a datagram: does it arrive with that pod?
    pub fn reaches_pod(&self, pod: &Pod, to: (Ipv4Addr, u16)) -> bool {
        self.reaches_pod_from(5000, pod, to)
    }

    pub fn reaches_pod_from(&self, port: u16, pod: &Pod, to: (Ipv4Addr, u16)) -> bool {
        let (payload, content) = datagram(port, to.1);
        let frame = self.packet_from_client(to.0, UDP, 0, &payload);
        let sandbox = |pod: &Pod| pod.sandbox.clone().unwrap();
        self.arrives(&sandbox(&self.client), &sandbox(pod), &frame, &content)
    }

    /// The client sends a datagram: does it arrive outside?
    pub fn reaches_outside(&self, source_port: u16, to: (Ipv4Addr, u16)) -> bool {
        let (payload, content) = datagram(source_port, to.1);
        let frame = self.packet_from_client(to.0, UDP, 0, &payload);
        let client = self.client.sandbox.clone().unwrap();
        self.arrives(&client, &self.outside, &frame, &content)
    }

    /// The server sends the client a datagram: does it arrive?
    pub fn is_answered(&self, pod: &Pod, from: u16, to: u16) -> bool {
        let (payload, content) = datagram(from, to);
        let frame = self.packet_from(pod, ip(&self.client), UDP, 0, &payload);
        let sandbox = |pod: &Pod| pod.sandbox.clone().unwrap();
        self.arrives(&sandbox(pod), &sandbox(&self.client), &frame, &content)
    }

    /// Somebody outside answers what came from the node's address, as it is for the world: does it
    /// arrive with the client?
    pub fn is_answered_from_outside(&self, from: u16, to: u16) -> bool {
        self.is_reached((OUTSIDE, from), (NODE, to))
    }

    /// Somebody outside sends the client a datagram under this address: does it arrive?
    pub fn is_reached_from(&self, from: (Ipv4Addr, u16), port: u16) -> bool {
        self.is_reached(from, (ip(&self.client), port))
    }

    fn is_reached(&self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> bool {
        let (payload, content) = datagram(from.1, to.1);
        let frame = self.packet_from_outside(from.0, to.0, UDP, &payload);
        self.arrives(&self.outside, &self.client.sandbox.clone().unwrap(), &frame, &content)
    }
}
