//! A container may have several attachments: each ADD makes one, and each DEL takes one away.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Node, Sandbox};
use plugin::{add, assert_no_pod_left, conf, conf_with, node, ping, succeed};
use serde_json::{Value, json};

/// One more interface of the same container.
fn add_interface(node: &Node, pod: &Sandbox, ifname: &str, conf: &Value) -> Value {
    succeed(node, CniCall::add(pod, conf).env("CNI_IFNAME", ifname)).json().unwrap()
}

fn del_interface(node: &Node, pod: &Sandbox, ifname: &str, conf: &Value) {
    succeed(node, CniCall::del(pod, conf).env("CNI_IFNAME", ifname));
}

fn check_interface(node: &Node, pod: &Sandbox, ifname: &str, conf: &Value, result: &Value) {
    let mut conf = conf.clone();
    conf["prevResult"] = result.clone();
    succeed(node, CniCall::check(pod, &conf).env("CNI_IFNAME", ifname));
}

/// By which interface the pod reaches the outside.
fn way_out(node: &Node, pod: &Sandbox) -> String {
    let route = pod.run(node, &["ip", "route", "get", "192.0.2.1"]).unwrap();
    route.split_once(" dev ").unwrap().1.split(' ').next().unwrap().to_string()
}

fn default_routes(node: &Node, pod: &Sandbox) -> Vec<Value> {
    let json = pod.run(node, &["ip", "-j", "route", "show", "default"]).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn the_first_default_route_stays_and_each_interface_outlives_the_other() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let first = add(&node, &pod, &conf());
    let second = add_interface(&node, &pod, "eth1", &conf());
    assert_eq!(way_out(&node, &pod), "eth0");
    check_interface(&node, &pod, "eth0", &conf(), &first);
    check_interface(&node, &pod, "eth1", &conf(), &second);

    del_interface(&node, &pod, "eth0", &conf());
    assert_eq!(way_out(&node, &pod), "eth1");
    ping(&node, &pod, "10.13.0.1");
    check_interface(&node, &pod, "eth1", &conf(), &second);

    let first = add(&node, &pod, &conf());
    assert_eq!(way_out(&node, &pod), "eth0", "it is the preferred one again");
    check_interface(&node, &pod, "eth0", &conf(), &first);
    check_interface(&node, &pod, "eth1", &conf(), &second);
    del_interface(&node, &pod, "eth1", &conf());
    assert_eq!(default_routes(&node, &pod).len(), 1);
    ping(&node, &pod, "10.13.0.1");
    check_interface(&node, &pod, "eth0", &conf(), &first);
    del_interface(&node, &pod, "eth0", &conf());
    assert_no_pod_left(&node);
}

#[test]
fn the_results_routes_are_those_that_the_kernel_has() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let blue = json!({ "name": "blue", "bridge": "blue0", "podcidr": "10.14.0.0/24" });
    let results = [
        ("eth0", add(&node, &pod, &conf())),
        ("eth1", add_interface(&node, &pod, "eth1", &conf())),
        ("eth2", add_interface(&node, &pod, "eth2", &conf_with(blue))),
    ];
    let kernel = default_routes(&node, &pod);
    assert_eq!(kernel.len(), 3, "{kernel:?}");
    for (ifname, result) in results {
        let route = kernel.iter().find(|route| route["dev"] == ifname).unwrap();
        let told = &result["routes"][0];
        assert_eq!(told["gw"], route["gateway"], "{ifname}");
        assert_eq!(told.get("priority"), route.get("metric"), "{ifname}");
    }
    let older = conf_with(json!({ "cniVersion": "1.0.0" }));
    let older = add_interface(&node, &pod, "eth3", &older);
    assert_eq!(older["routes"], json!([{ "dst": "0.0.0.0/0", "gw": "10.13.0.1" }]));
}

#[test]
fn interfaces_of_two_networks_reach_each_its_own() {
    let node = node();
    let [pod, friend] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let blue = json!({ "name": "blue", "bridge": "blue0", "podcidr": "10.14.0.0/24" });
    let blue = conf_with(blue);
    add(&node, &pod, &conf());
    let second = add_interface(&node, &pod, "eth1", &blue);
    let friend = plugin::address(&add(&node, &friend, &blue));
    for address in ["10.13.0.1", "10.14.0.1", &friend] {
        ping(&node, &pod, address);
    }
    del_interface(&node, &pod, "eth0", &conf());
    check_interface(&node, &pod, "eth1", &blue, &second);
    ping(&node, &pod, &friend);
}

#[test]
fn check_notices_that_a_second_interfaces_route_is_gone() {
    let node = node();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    let second = add_interface(&node, &pod, "eth1", &conf());
    pod.run(&node, &["ip", "route", "del", "default", "dev", "eth1"]).unwrap();
    let call = CniCall::check(&pod, &conf_with(json!({ "prevResult": second })));
    let message = plugin::fail(&node, call.env("CNI_IFNAME", "eth1"), 100);
    assert!(message.contains("default route"), "{message}");
}
