//! Step 0: the talk's program as it stands on the slide, and the packets it gets wrong.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod raw;
mod scene;

use lab::{Node, Pod, PodSpec, Sandbox};
use plugin::ready_node;
use raw::{PATIENCE, RawSocket, UDP, arrives, frame, ip, ipv4, mac, tc_drops, udp, unique};
use scene::{OUTSIDE, UPLINK, outside};

const PROGRAM: &str = concat!(env!("OUT_DIR"), "/simple_tc_parser.bpf.o");

/// Three pods under the slide's program: `frontend` may talk to `backend`, nobody else to anybody.
struct Slide {
    node: Node,
    frontend: Pod,
    backend: Pod,
    other: Pod,
    outside: Sandbox,
}

impl Slide {
    fn new() -> Self {
        let node = ready_node();
        let [frontend, backend, other] =
            ["frontend", "backend", "other"].map(|name| node.run_pod(PodSpec::new(name)).unwrap());
        node.run(&[
            "bpftool",
            "prog",
            "loadall",
            PROGRAM,
            "/sys/fs/bpf/s",
            "pinmaps",
            "/sys/fs/bpf/m",
        ])
        .unwrap();
        node.stop_agent().unwrap(); // it would put its own filters back
        for (id, pod) in [&frontend, &backend, &other].into_iter().enumerate() {
            let address = ip(pod).to_string().replace('.', " ");
            let link = pod.result.as_ref().unwrap()["interfaces"][1]["name"].as_str().unwrap();
            node.sh(&format!(
                "bpftool map update pinned /sys/fs/bpf/m/endpoint_map key {address} value {id} 0 0 0
                 tc filter replace dev {link} ingress protocol all pref 1 handle 1 \
                   bpf direct-action object-pinned /sys/fs/bpf/s/simple_tc_parser
                 tc filter del dev {link} egress"
            ))
            .unwrap();
        }
        let outside = outside(&node);
        let slide = Self { node, frontend, backend, other, outside };
        slide.allow(0, 1);
        slide
    }

    fn allow(&self, source: u8, destination: u8) {
        self.node
            .sh(&format!(
                "bpftool map update pinned /sys/fs/bpf/m/policy_map \
                 key {source} 0 0 0 {destination} 0 0 0 value 1"
            ))
            .unwrap();
    }

    /// Does a datagram arrive? `source` is what it says of itself.
    fn passes(&self, from: &Pod, source: &Pod, to: &Pod) -> bool {
        let packet = ipv4(ip(source), ip(to), UDP, (&[], 0), &udp(1, 2));
        let shot = unique(frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet));
        arrives(&self.node, from, to, &shot)
    }

    /// Is a pod's ping answered? If not, the program has dropped it, or its answer.
    fn pings(&self, from: &Pod, to: impl ToString) -> bool {
        let before = tc_drops(&self.node);
        let is_answered = || from.run(&self.node, &["ping", "-c1", "-W1", &to.to_string()]).is_ok();
        let mut answered = false;
        let is_decided = lab::wait_until(PATIENCE, || {
            answered = is_answered();
            answered || tc_drops(&self.node) > before
        });
        assert!(is_decided, "in {PATIENCE:?} neither dropped nor answered");
        answered
    }
}

#[test]
fn it_decides_on_pairs_as_the_slide_says() {
    let s = Slide::new();
    assert!(s.passes(&s.frontend, &s.frontend, &s.backend));
    assert!(!s.passes(&s.other, &s.other, &s.backend));
    assert!(!s.passes(&s.frontend, &s.frontend, &s.other), "neither is what nobody isolates");
}

#[test]
fn it_drops_answers_and_with_a_rule_for_them_the_server_may_call_the_client() {
    let s = Slide::new();
    assert!(!s.pings(&s.frontend, ip(&s.backend)));
    s.allow(1, 0);
    assert!(s.pings(&s.frontend, ip(&s.backend)));
    assert!(s.passes(&s.backend, &s.backend, &s.frontend));
}

#[test]
fn it_drops_what_goes_to_a_service_to_the_node_and_to_the_outside() {
    let s = Slide::new();
    s.node
        .sh(&format!(
            "nft 'add table ip service; add chain ip service pre {{ type nat hook prerouting priority dstnat; }}; \
             add rule ip service pre ip daddr 10.96.0.10 dnat to {}'",
            ip(&s.backend)
        ))
        .unwrap();
    s.allow(1, 0);
    assert!(s.pings(&s.frontend, ip(&s.backend)), "the Service's pod is there");
    for (what, address) in [
        ("the Service", "10.96.0.10".to_string()),
        ("the node", "10.13.0.1".to_string()),
        ("the outside", OUTSIDE.to_string()),
    ] {
        assert!(!s.pings(&s.frontend, address), "{what}");
    }
}

#[test]
fn it_does_not_see_what_comes_from_the_node_or_the_outside() {
    let s = Slide::new();
    let packet = ipv4(OUTSIDE, ip(&s.backend), UDP, (&[], 0), &udp(3, 4));
    let shot = unique(frame(UPLINK, [2, 0, 0, 0, 0, 9], 0x0800, &packet));
    let pod = s.backend.sandbox.as_ref().unwrap();
    let there = pod.enter(&s.node, || RawSocket::on("eth0")).unwrap();
    s.outside.enter(&s.node, || RawSocket::on("eth0").send(&shot)).unwrap();
    // Routed: the hops left, and with them the checksum, are others.
    let is_it = |heard: &[u8]| heard.len() == shot.len() && heard[26..] == shot[26..];
    assert!(there.hears_any(is_it, PATIENCE));
    // The node's question arrives too, but its answer does not: kubelet's probes would fail.
    let address = ip(&s.backend).to_string();
    assert!(s.node.run(&["ping", "-c1", "-W1", &address]).is_err());
    let is_it = |heard: &[u8]| heard[26..30] == [10, 13, 0, 1] && heard[23] == 1;
    assert!(there.hears_any(is_it, PATIENCE));
}

#[test]
fn it_believes_a_forged_address() {
    let s = Slide::new();
    assert!(s.passes(&s.other, &s.frontend, &s.backend));
}

#[test]
fn it_lets_ipv6_pass() {
    let s = Slide::new();
    // Link-local addresses, which every interface may have, and no next header.
    let address = |last: u8| [&[0xfe, 0x80][..], &[0; 13], &[last]].concat();
    let packet = [&[0x60, 0, 0, 0, 0, 8, 59, 64][..], &address(1), &address(2), &[7; 8]].concat();
    let shot = frame(mac(ip(&s.backend)), mac(ip(&s.other)), 0x86dd, &packet);
    assert!(arrives(&s.node, &s.other, &s.backend, &shot));
}

#[test]
fn it_does_not_mind_who_else_gets_a_flooded_frame() {
    let s = Slide::new();
    let packet = ipv4(ip(&s.frontend), ip(&s.backend), UDP, (&[], 0), &udp(5, 6));
    let shot = unique(frame([2, 0, 0, 0, 0, 1], mac(ip(&s.frontend)), 0x0800, &packet));
    assert!(arrives(&s.node, &s.frontend, &s.other, &shot));
}
