//! A pod that can make packets by hand, and those around it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::Ipv4Addr;

use lab::{Node, Pod, PodSpec};

use crate::plugin::ready_node;
use crate::raw::{Event, Monitor, UDP, frame, ip, ipv4, mac, send, udp, unique};
use crate::scene::FRIENDS_ONLY;

/// The pods' gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 13, 0, 1);

/// A friend whom the victim lets in, an attacker whom it does not; a bystander with no policy.
pub struct Scene {
    pub node: Node,
    pub friend: Pod,
    pub attacker: Pod,
    pub victim: Pod,
    pub bystander: Pod,
    pub monitor: Monitor,
}

impl Scene {
    /// Returns when the policy is in force.
    pub fn new() -> Self {
        let node = ready_node();
        let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
        let [friend, attacker, victim, bystander] =
            ["friend", "attacker", "victim", "bystander"].map(pod);
        node.apply(FRIENDS_ONLY).unwrap();
        let monitor = Monitor::new(&node);
        let scene = Self { node, friend, attacker, victim, bystander, monitor };
        // The policy is in force when the first honest packet is denied.
        let honest = scene.ip(&scene.attacker, &scene.victim, UDP, &udp(1, 2));
        let denied = |event: &Event| event.reason.as_str() == "denied by policy";
        while scene.monitor.count(denied) == 0 {
            send(&scene.node, &scene.attacker, &honest);
            std::thread::yield_now();
        }
        scene
    }

    /// An honest frame around a payload.
    pub fn ip(&self, from: &Pod, to: &Pod, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let packet = ipv4(ip(from), ip(to), protocol, (&[], 0), payload);
        frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet)
    }

    /// It is dropped where it leaves the pod, for this reason.
    #[track_caller]
    pub fn dropped(&self, from: &Pod, what: &str, reason: &str, frame: Vec<u8>) {
        let frame = unique(frame);
        send(&self.node, from, &frame);
        // The kernel takes a VLAN tag out of the frame.
        let length = frame.len() as u32 - if reason == "VLAN" { 4 } else { 0 };
        let event = self.monitor.find(what, |event| event.length == length);
        assert_eq!((event.hook.as_str(), event.reason.as_str()), ("from-pod", reason), "{what}");
    }

    /// It passes: at its end it is the first of a connection. A bridge that has not heard of the
    /// receiver yet floods it to the others too, who drop it.
    #[track_caller]
    pub fn passes(&self, from: &Pod, what: &str, frame: Vec<u8>) {
        let frame = unique(frame);
        send(&self.node, from, &frame);
        let is_it = |event: &Event| event.length == frame.len() as u32;
        self.monitor
            .find(what, |event| is_it(event) && !event.dropped && event.hook.as_str() == "to-pod");
        assert_eq!(
            self.monitor.count(|event| is_it(event) && event.hook.as_str() == "from-pod"),
            0,
            "{what}"
        );
    }
}
