//! The links that ADD makes: as the text says, and never somebody else's.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, PodSpec};
use plugin::{
    add, address, assert_no_pod_left, conf, conf_with, del, fail, node, ping, ready_node, succeed,
    traces,
};
use serde_json::{Value, json};

#[test]
fn add_leaves_the_links_as_the_text_says() {
    let node = ready_node();
    let pod = node.run_pod(PodSpec::new("web").namespace("shop")).unwrap();
    let host_link = pod.result.as_ref().unwrap()["interfaces"][1]["name"].as_str().unwrap();
    assert!(host_link.starts_with("veth") && host_link.len() == 15);
    let link = node.run(&["ip", "-d", "link", "show", "dev", host_link]).unwrap();
    for part in ["hairpin on", "master bridge0", "alias shop/web", "addrgenmode none", "state UP"] {
        assert!(link.contains(part), "{part} is missing in {link}");
    }
    let bridge = node.run(&["ip", "-d", "link", "show", "dev", "bridge0"]).unwrap();
    assert!(bridge.contains("nf_call_iptables 1"), "{bridge}");
    let ipv6 = pod.run(&node, &["ip", "-6", "addr", "show", "dev", "eth0"]).unwrap();
    assert_eq!(ipv6, "", "no IPv6 in the pod");
    assert_eq!(node.run(&["ip", "-6", "addr", "show", "dev", host_link]).unwrap(), "");
    assert_eq!(node.run(&["cat", "/proc/sys/net/ipv4/ip_forward"]).unwrap().trim(), "1");
}

#[test]
fn the_gateways_mac_does_not_change_when_pods_come_and_go() {
    let node = node();
    let mac = || {
        let json = node.run(&["ip", "-j", "link", "show", "dev", "bridge0"]).unwrap();
        serde_json::from_str::<Value>(&json).unwrap()[0]["address"].clone()
    };
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &a, &conf());
    let before = mac();
    add(&node, &b, &conf());
    del(&node, &a, &conf());
    assert_eq!(mac(), before);
    del(&node, &b, &conf());
    assert_eq!(mac(), before);
}

#[test]
fn the_mtu_is_that_of_both_ends() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf_with(json!({ "mtu": 9000 })));
    let host = result["interfaces"][1]["name"].as_str().unwrap();
    assert!(node.run(&["ip", "link", "show", host]).unwrap().contains("mtu 9000"));
    assert!(pod.run(&node, &["ip", "link", "show", "eth0"]).unwrap().contains("mtu 9000"));
}

#[test]
fn a_repeated_add_fails_and_leaves_the_first_one_working() {
    let node = node();
    let [pod, other] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let first = add(&node, &pod, &conf());
    let other_address = address(&add(&node, &other, &conf()));
    let before = traces(&node);
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains(&address(&first)), "{message}");
    assert_eq!(traces(&node), before);
    ping(&node, &pod, &other_address);
    succeed(&node, CniCall::check(&pod, &conf_with(json!({ "prevResult": first }))));
}

#[test]
fn an_interface_of_that_name_in_the_pod_is_an_error_and_stays() {
    let node = node();
    let pod = node.sandbox().unwrap();
    pod.run(&node, &["ip", "link", "add", "eth0", "type", "veth"]).unwrap();
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains("eth0 exists in the pod"), "{message}");
    assert_no_pod_left(&node);
    pod.run(&node, &["ip", "link", "show", "eth0"]).unwrap();
}

#[test]
fn a_link_that_has_the_bridges_name_is_refused_and_stays() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.run(&["ip", "link", "add", "bridge0", "type", "veth"]).unwrap();
    let before = traces(&node);
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains("bridge0") && message.contains("another kind"), "{message}");
    assert_eq!(traces(&node), before);
    assert!(fail(&node, CniCall::new("STATUS").stdin(conf().to_string()), 50).contains("bridge0"));
}

#[test]
fn a_bridge_that_is_down_or_lost_its_address_is_mended() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.sh("ip link add bridge0 type bridge").unwrap();
    add(&node, &pod, &conf());
    ping(&node, &pod, "10.13.0.1");
}
