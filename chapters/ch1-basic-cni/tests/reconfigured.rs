//! The configuration changes, or the leases are lost, while pods run.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Node, Sandbox};
use plugin::{
    add, address, assert_no_pod_left, conf, conf_with, del, fail, node, ping, succeed, traces,
};
use serde_json::{Value, json};

fn addresses_of(node: &Node, link: &str) -> Vec<String> {
    let shown = node.run(&["ip", "-br", "-4", "addr", "show", "dev", link]).unwrap();
    shown.split_whitespace().skip(2).map(String::from).collect()
}

fn pods<const N: usize>(node: &Node, conf: &Value) -> [(Sandbox, String); N] {
    std::array::from_fn(|_| {
        let pod = node.sandbox().unwrap();
        let address = address(&add(node, &pod, conf));
        (pod, address)
    })
}

fn masquerade_rules(node: &Node) -> Vec<String> {
    let rules = node.run(&["nft", "list", "ruleset"]).unwrap();
    rules.lines().filter(|it| it.contains(" masquerade")).map(|it| it.trim().into()).collect()
}

#[test]
fn a_widened_podcidr_leaves_no_address_that_nobody_reaches() {
    let node = node();
    let old = pods::<5>(&node, &conf_with(json!({ "podcidr": "10.13.0.0/29" })));
    let new = pods::<4>(&node, &conf());
    assert_eq!(addresses_of(&node, "bridge0"), ["10.13.0.1/24"]);
    for (pod, address) in &new {
        assert_ne!(address, "10.13.0.7", "the old pods' broadcast address");
        node.run(&["ping", "-c1", "-W2", address]).unwrap();
        for (other, other_address) in &old {
            ping(&node, other, address);
            ping(&node, pod, other_address);
        }
    }
    assert_eq!(
        masquerade_rules(&node),
        [r#"ip saddr 10.13.0.0/24 oifname != "bridge0" oifname != "lo" masquerade"#]
    );
}

#[test]
fn the_bridge_has_the_address_that_the_configuration_says_and_no_other() {
    let node = node();
    for podcidr in ["10.13.0.0/24", "10.13.0.0/28", "10.13.0.0/16", "10.12.0.0/14", "10.99.0.0/24"]
    {
        let [(pod, _)] = pods(&node, &conf_with(json!({ "podcidr": podcidr })));
        let (network, prefix) = podcidr.split_once("0/").unwrap();
        assert_eq!(addresses_of(&node, "bridge0"), [format!("{network}1/{prefix}")]);
        ping(&node, &pod, &format!("{network}1"));
        let rule = format!(r#"ip saddr {podcidr} oifname != "bridge0" oifname != "lo" masquerade"#);
        assert_eq!(masquerade_rules(&node), [rule]);
    }
    // Somebody's, and one that makes ours a secondary, which goes with it.
    node.sh("ip addr add 192.0.2.1/24 dev bridge0; ip addr flush dev bridge0 to 10.99.0.1
         ip addr add 10.99.0.9/24 dev bridge0; ip addr add 10.99.0.1/24 dev bridge0")
        .unwrap();
    let [(pod, _)] = pods(&node, &conf_with(json!({ "podcidr": "10.99.0.0/24" })));
    assert_eq!(addresses_of(&node, "bridge0"), ["10.99.0.1/24"]);
    ping(&node, &pod, "10.99.0.1");
}

#[test]
fn a_gateway_that_moved_leaves_its_mac_to_no_pod() {
    let node = node();
    let _old = pods::<1>(&node, &conf_with(json!({ "podcidr": "10.13.0.8/29" })));
    // 10.13.0.9 was the gateway, and the bridge still has the MAC that was made of it.
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/28" }));
    let new = pods::<11>(&node, &conf);
    for (pod, address) in &new {
        assert!(!["10.13.0.9", "10.13.0.10"].contains(&address.as_str()), "{address}");
        node.run(&["ping", "-c1", "-W2", address]).unwrap();
        ping(&node, pod, &new[0].1);
    }
    let extra = node.sandbox().unwrap();
    fail(&node, CniCall::add(&extra, &conf), 11);
}

#[test]
fn a_podcidr_whose_gateway_is_a_running_pod_is_refused() {
    let node = node();
    let [_, (pod, second)] = pods::<2>(&node, &conf());
    assert_eq!(second, "10.13.0.3");
    // One more, such that 10.13.0.9 is a pod's.
    let more = pods::<6>(&node, &conf());
    assert_eq!(more[5].1, "10.13.0.9");
    let before = traces(&node);
    let extra = node.sandbox().unwrap();
    let call = CniCall::add(&extra, &conf_with(json!({ "podcidr": "10.13.0.8/29" })));
    let message = fail(&node, call, 100);
    assert!(message.contains("10.13.0.9"), "{message}");
    assert_eq!(addresses_of(&node, "bridge0"), ["10.13.0.1/24"]);
    let links = |traces: &str| traces.lines().filter(|it| it.starts_with("veth")).count();
    assert_eq!(links(&traces(&node)), links(&before));
    ping(&node, &pod, "10.13.0.9");
}

#[test]
fn networks_that_share_a_bridge_keep_their_gateways_and_a_foreign_bridge_its_address() {
    let node = node();
    node.sh("ip link add bridge0 type bridge; ip addr add 192.0.2.1/24 dev bridge0").unwrap();
    let blue = conf_with(json!({ "name": "blue", "podcidr": "10.14.0.0/24" }));
    let [(pod, _)] = pods(&node, &conf());
    let [(other, _)] = pods(&node, &blue);
    let _more = pods::<2>(&node, &conf());
    for address in ["192.0.2.1", "10.13.0.1", "10.14.0.1"] {
        ping(&node, &pod, address);
        ping(&node, &other, address);
    }
    assert_eq!(addresses_of(&node, "bridge0").len(), 3);
}

#[test]
fn networks_share_a_bridge_that_the_plugin_made() {
    let node = node();
    let blue = conf_with(json!({ "name": "blue", "podcidr": "10.14.0.0/24" }));
    let [(pod, _)] = pods(&node, &conf());
    let [(other, _)] = pods(&node, &blue);
    let _more = pods::<2>(&node, &conf());
    ping(&node, &pod, "10.13.0.1");
    ping(&node, &other, "10.14.0.1");
    del(&node, &other, &blue);
    let _more = pods::<1>(&node, &conf());
    assert_eq!(addresses_of(&node, "bridge0"), ["10.13.0.1/24"], "blue has no pods left");
}

#[test]
fn the_masquerade_rule_follows_ip_masq_and_bridge() {
    let node = node();
    let [(pod, _)] = pods(&node, &conf());
    let off = conf_with(json!({ "ipMasq": false }));
    let [(without, _)] = pods(&node, &off);
    assert_eq!(masquerade_rules(&node), [""; 0]);
    let [(with, _)] = pods(&node, &conf());
    assert_eq!(masquerade_rules(&node).len(), 1);
    // Another bridge cannot have the gateway's address as well: the node routes to one of them.
    let renamed = conf_with(json!({ "bridge": "cni0" }));
    let extra = node.sandbox().unwrap();
    let message = fail(&node, CniCall::add(&extra, &renamed), 100);
    assert!(message.contains("10.13.0.1"), "{message}");
    assert!(addresses_of(&node, "bridge0") == ["10.13.0.1/24"]);
    for pod in [&pod, &without, &with] {
        ping(&node, pod, "10.13.0.1");
        del(&node, pod, &renamed);
    }
    node.run(&["ip", "link", "del", "bridge0"]).unwrap();
    let [(pod, _)] = pods(&node, &renamed);
    assert_eq!(
        masquerade_rules(&node),
        [r#"ip saddr 10.13.0.0/24 oifname != "cni0" oifname != "lo" masquerade"#]
    );
    del(&node, &pod, &renamed);
    assert_no_pod_left(&node);
}

/// Old pods, whose leases are not where they were, and new ones under `conf`.
fn no_address_twice(node: &Node, conf: &Value, old: &[(Sandbox, String)]) {
    let new = pods::<4>(node, conf);
    for (pod, address) in &new {
        assert!(old.iter().all(|(_, old)| old != address), "{address} was given twice");
        for (other, other_address) in old {
            ping(node, pod, other_address);
            ping(node, other, address);
        }
    }
    let rules = masquerade_rules(node);
    for (pod, _) in &new {
        del(node, pod, conf);
    }
    assert_eq!(masquerade_rules(node), rules, "the old pods still need it");
    for (pod, address) in old {
        ping(node, pod, "10.13.0.1");
        del(node, pod, conf);
        assert!(pod.run(node, &["ip", "link", "show", "eth0"]).is_err(), "{address} is left");
    }
    assert_no_pod_left(node);
}

#[test]
fn a_network_that_is_renamed_gives_no_address_twice() {
    let node = node();
    let old = pods::<3>(&node, &conf());
    no_address_twice(&node, &conf_with(json!({ "name": "renamed" })), &old);
}

#[test]
fn a_lost_lease_directory_gives_no_address_twice() {
    let node = node();
    let old = pods::<3>(&node, &conf());
    node.run(&["rm", "-r", "/run/ebpfcni/ebpfcni"]).unwrap();
    no_address_twice(&node, &conf(), &old);
}

#[test]
fn a_pod_that_is_down_or_off_the_bridge_keeps_its_address() {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
    let [(down, first), (off, second), (unplugged, third)] = pods(&node, &conf);
    down.run(&node, &["ip", "link", "set", "eth0", "down"]).unwrap();
    let host_link = |address| format!("$(ip -o link show {address} | cut -d' ' -f2 | cut -d@ -f1)");
    node.sh(&format!("ip link set {} nomaster", host_link(&second))).unwrap();
    node.sh(&format!("ip link set {} down", host_link(&third))).unwrap();
    node.sh("ip neigh flush all; rm -r /run/ebpfcni/ebpfcni").unwrap();
    let new = pods::<2>(&node, &conf);
    for (_, address) in &new {
        assert!(![&first, &second, &third].contains(&address), "{address} was given twice");
    }
    // Full, though there are but two leases.
    let extra = node.sandbox().unwrap();
    assert!(fail(&node, CniCall::add(&extra, &conf), 11).contains("10.13.0.0/29"));
    fail(&node, CniCall::new("STATUS").stdin(conf.to_string()), 50);
    for pod in [&down, &off, &unplugged] {
        del(&node, pod, &conf);
        let pod = node.sandbox().unwrap();
        add(&node, &pod, &conf);
    }
}

#[test]
fn an_address_of_the_node_itself_is_no_pods() {
    let node = node();
    node.sh("ip link add lan type bridge; ip addr add 10.13.0.2/32 dev lan; ip link set lan up")
        .unwrap();
    let [(_, address)] = pods(&node, &conf());
    assert_eq!(address, "10.13.0.3");
    let status = CniCall::new("STATUS").stdin(conf().to_string());
    succeed(&node, status);
}
