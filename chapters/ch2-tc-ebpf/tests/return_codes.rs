//! What OK, SHOT and REDIRECT do to a ping. Ends with this chapter.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{Node, Sandbox};
use plugin::{add, address, conf, node};

const PROGRAMS: &str = concat!(env!("OUT_DIR"), "/return_codes.bpf.o");

/// Counts what arrives in a pod as sent by `from`, whomever it is addressed to.
fn count(node: &Node, pod: &Sandbox, from: &str) {
    let rules = format!(
        "add table netdev count; \
         add chain netdev count in {{ type filter hook ingress device eth0 priority 0; }}; \
         add rule netdev count in ip saddr {from} ip protocol icmp counter"
    );
    pod.run(node, &["nft", &rules]).unwrap();
}

/// The count so far.
fn counted(node: &Node, pod: &Sandbox) -> u64 {
    let json = pod.run(node, &["nft", "-j", "list", "table", "netdev", "count"]).unwrap();
    let rules: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut expressions = rules["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|object| object["rule"]["expr"].as_array().cloned().unwrap_or_default());
    let counter = expressions.find_map(|it| it["counter"]["packets"].as_u64());
    counter.unwrap()
}

#[test]
fn ok_lets_a_ping_pass_shot_drops_it_and_redirect_sends_it_back() {
    let node = node();
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let result = add(&node, &a, &conf());
    let a_address = address(&result);
    let b_address = address(&add(&node, &b, &conf()));
    let host_link = result["interfaces"][1]["name"].as_str().unwrap();
    node.run(&["bpftool", "prog", "loadall", PROGRAMS, "/sys/fs/bpf/codes"]).unwrap();
    // Who is where is known: what follows is about the ping alone.
    plugin::ping(&node, &a, &b_address);
    for pod in [&a, &b] {
        count(&node, pod, &a_address);
    }

    for (program, answered, comes_back) in
        [("shot", false, false), ("redirect", false, true), ("ok", true, false)]
    {
        node.sh(&format!(
            "tc filter replace dev {host_link} ingress protocol all pref 1 handle 1 \
             bpf direct-action object-pinned /sys/fs/bpf/codes/{program}"
        ))
        .unwrap();
        let before = [counted(&node, &a), counted(&node, &b)];
        let patience = if answered { "-W20" } else { "-W1" };
        let ping = a.run(&node, &["ping", "-c3", "-i0.01", patience, &b_address]);
        assert_eq!(ping.is_ok(), answered, "{program}: {ping:?}");
        let arrived = [counted(&node, &a) - before[0], counted(&node, &b) - before[1]];
        let expected = [if comes_back { 3 } else { 0 }, if answered { 3 } else { 0 }];
        assert_eq!(arrived, expected, "{program}: requests that came to a and to b");
    }
}
