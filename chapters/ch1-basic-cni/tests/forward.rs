//! A FORWARD chain that drops what no rule accepts cuts pods off: the plugin says so.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Node};
use plugin::{add, address, conf, node, ping, succeed};

/// What ADD and STATUS say, which succeed all the same.
fn told(node: &Node) -> [String; 2] {
    let pod = node.sandbox().unwrap();
    let status = CniCall::new("STATUS").stdin(conf().to_string());
    [CniCall::add(&pod, &conf()), status].map(|call| succeed(node, call).stderr)
}

fn expect_warning(node: &Node, chain: &str) {
    for told in told(node) {
        assert!(told.contains(&format!("{chain} has policy DROP")), "{chain}: {told:?}");
        assert!(told.contains("bridge0"), "{told:?}");
    }
}

#[test]
fn a_forward_chain_with_policy_drop_is_told_of_whoever_made_it() {
    let node = node();
    assert_eq!(told(&node), ["", ""]);
    for family in ["ip", "inet", "bridge"] {
        let hook = "{ type filter hook forward priority 5; policy drop; }";
        node.sh(&format!("nft add table {family} any; nft 'add chain {family} any name {hook}'"))
            .unwrap();
        expect_warning(&node, &format!("nftables chain {family} any name"));
        node.run(&["nft", "delete", "table", family, "any"]).unwrap();
    }
    // Neither another hook nor another family, nor a chain that accepts.
    node.sh("nft add table inet any; nft add table ip6 any
         nft 'add chain inet any a { type filter hook input priority 0; policy drop; }'
         nft 'add chain inet any b { type filter hook forward priority 0; policy accept; }'
         nft 'add chain ip6 any c { type filter hook forward priority 0; policy drop; }'
         nft 'add chain inet any d'")
        .unwrap();
    assert_eq!(told(&node), ["", ""]);
}

#[test]
fn iptables_of_either_kind_is_looked_at() {
    let node = node();
    node.run(&["iptables-nft", "-P", "FORWARD", "DROP"]).unwrap();
    expect_warning(&node, "nftables chain ip filter FORWARD");
    node.run(&["iptables-nft", "-P", "FORWARD", "ACCEPT"]).unwrap();
    node.run(&["iptables-legacy", "-A", "FORWARD", "-i", "bridge0", "-j", "DROP"]).unwrap();
    node.run(&["iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport", "1"]).unwrap();
    assert_eq!(told(&node), ["", ""], "policy ACCEPT, whatever the rules");
    node.run(&["iptables-legacy", "-F", "FORWARD"]).unwrap();
    node.run(&["iptables-legacy", "-P", "FORWARD", "DROP"]).unwrap();
    expect_warning(&node, "iptables-legacy chain FORWARD");
}

/// What the warning says is true, and what it says to do helps.
#[test]
fn the_policy_cuts_pods_off_and_rules_for_the_bridge_connect_them() {
    let node = node();
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &a, &conf());
    let b = address(&add(&node, &b, &conf()));
    ping(&node, &a, &b);
    let forward = "{ type filter hook forward priority 0; policy drop; }";
    node.sh(&format!("nft add table ip any; nft 'add chain ip any forward {forward}'")).unwrap();
    // Bridged packets pass here because the plugin tells the bridge to call iptables.
    assert!(a.run(&node, &["ping", "-c1", "-W1", &b]).is_err());
    node.sh("nft insert rule ip any forward iifname bridge0 accept").unwrap();
    ping(&node, &a, &b);
}
