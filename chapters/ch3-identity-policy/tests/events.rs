//! What the kernel saw: events, counters, and how early a drop is.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod raw;

use chapter::entries::PEER_LABELS;
use lab::{Node, Pod, PodSpec};
use plugin::ready_node;
use raw::{Monitor, UDP, frame, ip, ipv4, mac, send, udp, unique};
use serde_json::Value;

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: allow-frontend-to-backend }
spec:
  podSelector: { matchLabels: { app: backend } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: frontend } } }] }]
";

fn scene() -> (Node, [Pod; 3]) {
    let node = ready_node();
    node.apply(POLICY).unwrap();
    let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
    let pods = ["frontend", "other", "backend"].map(pod);
    (node, pods)
}

fn datagram(from: &Pod, to: &Pod, ports: (u16, u16)) -> Vec<u8> {
    let packet = ipv4(ip(from), ip(to), UDP, (&[], 0), &udp(ports.0, ports.1));
    unique(frame(mac(ip(to)), mac(ip(from)), 0x0800, &packet))
}

#[test]
fn a_connection_is_told_once_and_each_drop() {
    let (node, [frontend, other, backend]) = scene();
    let monitor = Monitor::new(&node);
    for _ in 0..3 {
        send(&node, &frontend, &datagram(&frontend, &backend, (1, 53)));
        send(&node, &other, &datagram(&other, &backend, (2, 53)));
    }
    // What comes last has come after all the others.
    send(&node, &other, &datagram(&other, &backend, (9, 53)));
    let last = monitor.find("the last", |event| event.source_port == 9);
    assert_eq!((last.reason.as_str(), last.hook.as_str()), ("denied by policy", "from-pod"));
    assert!(last.source_identity >= 256 && last.destination_identity >= 256);
    assert_ne!(last.source_identity, last.destination_identity);
    assert_eq!(monitor.count(|event| event.source_port == 1 && !event.dropped), 1);
    assert_eq!(monitor.count(|event| event.source_port == 2 && event.dropped), 3);
}

#[test]
fn an_allowed_packet_is_counted_once_by_the_entry_that_allows_it() {
    let (node, [frontend, other, backend]) = scene();
    let counted = || -> Vec<Value> {
        let ask = ["/run/lab/bin/ebpf-agent", "bpf", "policy", "get", "backend", "-o", "json"];
        serde_json::from_str(&node.run(&ask).unwrap()).unwrap()
    };
    let sizes: u64 = (0..5)
        .map(|port| {
            let shot = datagram(&frontend, &backend, (port, 53));
            send(&node, &frontend, &shot);
            send(&node, &other, &datagram(&other, &backend, (port, 53)));
            shot.len() as u64
        })
        .sum();
    lab::wait_until(raw::PATIENCE, || counted().first().is_some_and(|it| it["packets"] == 5));
    let rows = counted();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0][PEER_LABELS], "app=frontend");
    assert_eq!((&rows[0]["packets"], &rows[0]["bytes"]), (&5.into(), &sizes.into()));
}

#[test]
fn what_is_dropped_has_not_come_as_far_as_the_bridge() {
    let (node, [frontend, other, backend]) = scene();
    let count = |pod: &Pod| {
        node.sh(&format!(
            "nft add rule bridge early prerouting ip saddr {} ip protocol udp counter",
            ip(pod)
        ))
        .unwrap();
    };
    node.sh("nft 'add table bridge early; add chain bridge early prerouting { type filter hook prerouting priority 0; }'")
        .unwrap();
    count(&frontend);
    count(&other);
    let before = tc_dropped(&node, &other);
    for port in 0..5 {
        send(&node, &frontend, &datagram(&frontend, &backend, (port, 53)));
        send(&node, &other, &datagram(&other, &backend, (port, 53)));
    }
    let rules = || node.run(&["nft", "list", "table", "bridge", "early"]).unwrap();
    let is_dropped = || tc_dropped(&node, &other) >= before + 5;
    lab::wait_until(raw::PATIENCE, || is_dropped() && rules().contains("packets 5 "));
    let rules = rules();
    let counters: Vec<_> = rules.lines().filter(|line| line.contains("counter")).collect();
    assert!(counters[0].contains("packets 5 "), "{rules}");
    assert!(counters[1].contains("packets 0 "), "{rules}");
    assert!(is_dropped(), "TC has counted them");
}

/// What TC has dropped on the host end of a pod's veth, as `tc -s` says it.
fn tc_dropped(node: &Node, pod: &Pod) -> u64 {
    let link = pod.result.as_ref().unwrap()["interfaces"][1]["name"].as_str().unwrap();
    let qdisc = node.run(&["tc", "-s", "-j", "qdisc", "show", "dev", link]).unwrap();
    let qdiscs: Vec<Value> = serde_json::from_str(&qdisc).unwrap();
    let clsact = qdiscs.iter().find(|it| it["kind"] == "clsact").unwrap();
    clsact["drops"].as_u64().unwrap()
}
