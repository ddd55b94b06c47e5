//! What all of egress rests on: where the bridge hands packets up to the node, at its TC ingress, a packet
//! to a Service has its translated address, and from_pod's mark, and is whole.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
mod hand;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/raw/mod.rs"]
mod raw;
#[path = "../../ch3-identity-policy/tests/scene/mod.rs"]
mod scene;

use std::net::{Ipv4Addr, UdpSocket};

use hand::{Hand, NODE, SERVICE};
use scene::{OUTSIDE, ask, eventually};
use serde_json::Value;

/// Counts at the same place, behind to_node: netfilter's hook is the next one there.
fn count(s: &Hand, rules: &[&str]) {
    let rules: String = rules.iter().map(|it| format!("{it} counter\n")).collect();
    let hook = "type filter hook ingress device bridge0 priority 0";
    s.node
        .run(&["nft", &format!("table netdev r1 {{ chain up {{ {hook}\n{rules} }}\n}}")])
        .unwrap();
}

/// How many packets each rule has seen.
fn counted(s: &Hand) -> Vec<u64> {
    let list = s.node.run(&["nft", "-j", "list", "chain", "netdev", "r1", "up"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let rules = list["nftables"].as_array().unwrap().iter().filter_map(|it| it.get("rule"));
    let packets = |rule: &Value| {
        let counters = rule["expr"].as_array().unwrap().iter();
        counters.filter_map(|it| it["counter"]["packets"].as_u64()).next().unwrap()
    };
    rules.map(packets).collect()
}

/// The client's datagram of a size, to the Service.
fn send(s: &Hand, port: u16, size: usize) {
    let socket = s.client.sandbox.as_ref().unwrap();
    let socket = socket.enter(&s.node, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    socket.send_to(&vec![7; size], (SERVICE, port)).unwrap();
}

#[test]
fn r1_the_bridge_hands_up_what_a_service_has_translated_with_its_mark_and_whole() {
    for policy in [None, Some("policyTypes: [Egress], egress: [{}]")] {
        let s = Hand::new();
        for (port, target) in [(80, OUTSIDE), (81, NODE)] {
            s.service(port, target, 5353);
        }
        if let Some(policy) = policy {
            s.policy("client", policy);
        }
        let client = s.client.ip.unwrap().to_string();
        let endpoints = ask(&s.node, "endpoint list -o json");
        let its = endpoints.as_array().unwrap().iter().find(|it| it["address"] == client.as_str());
        let identity = its.unwrap()["identity"].as_u64().unwrap();
        let mark = format!("meta mark & 0xffff0f00 == {:#x}", identity << 16 | 0x0f00);
        let whole = |target: Ipv4Addr, size: u32| {
            format!(
                "ip saddr {client} ip daddr {target} udp dport 5353 \
                 ip frag-off & 0x3fff == 0 ip length {size} {mark}"
            )
        };
        count(
            &s,
            &[
                &whole(OUTSIDE, 128),
                &whole(NODE, 128),
                &whole(OUTSIDE, 4028),
                &whole(NODE, 4028),
                "ip daddr 10.96.0.0/16",
                "ip frag-off & 0x3fff != 0",
            ],
        );
        for port in [80, 81] {
            send(&s, port, 100);
            send(&s, port, 4000);
        }
        eventually("all four are there", || counted(&s)[..4].iter().all(|it| *it > 0));
        assert_eq!(counted(&s), [1, 1, 1, 1, 0, 0]);
    }
}

/// Without it a Service's address is what to_node judges by, and nothing is let out that is not allowed
/// by that.
#[test]
fn r1_where_the_bridge_does_not_translate_an_isolated_pod_reaches_no_service() {
    let s = Hand::new();
    s.service(80, OUTSIDE, 5353);
    let to_outside = "policyTypes: [Egress],
                      egress: [{ to: [{ ipBlock: { cidr: 192.0.2.0/24 } }] }]";
    s.policy("client", to_outside);
    assert!(s.reaches_outside(5000, (SERVICE, 80)));
    s.node
        .sh("ip link set bridge0 type bridge nf_call_iptables 0
             echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")
        .unwrap();
    s.node.run(&["conntrack", "-F"]).unwrap();
    assert!(!s.reaches_outside(5000, (SERVICE, 80)));
    assert!(s.reaches_outside(5000, (OUTSIDE, 5353)));
}
