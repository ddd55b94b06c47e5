//! The bridge's filter: once, put back, told of, asked for by CHECK.

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

use std::path::Path;
use std::time::Duration;

use chapter::client;
use hand::Hand;
use lab::{CniCall, Node, PodSpec};
use plugin::{AGENT, add, conf, conf_with, fail, node, ready_node, succeed};
use scene::{OUTSIDE, ask, eventually, within};
use serde_json::{Value, json};

fn attached(node: &Node) -> Vec<Value> {
    attached_to(node, "bridge0")
}

/// The ids of the programs at a bridge's ingress.
fn attached_to(node: &Node, bridge: &str) -> Vec<Value> {
    let json = node.run(&["tc", "-j", "filter", "show", "dev", bridge, "ingress"]).unwrap();
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    let handled = all.into_iter().filter(|filter| !filter["options"]["handle"].is_null());
    handled.map(|filter| filter["options"]["prog"]["id"].clone()).collect()
}

fn pinned(node: &Node) -> Value {
    let pin = "/sys/fs/bpf/ebpfcni-to-node";
    let json = node.run(&["bpftool", "-j", "prog", "show", "pinned", pin]).unwrap();
    serde_json::from_str::<Value>(&json).unwrap()["id"].clone()
}

fn problems(node: &Node) -> String {
    ask(node, "status")["problems"].to_string()
}

/// A client that nothing lets out, which is so.
fn isolated() -> Hand {
    let s = Hand::new();
    s.policy("client", "policyTypes: [Egress]");
    expect_isolated(&s);
    s
}

#[track_caller]
fn expect_isolated(s: &Hand) {
    eventually("status is green", || problems(&s.node) == "[]");
    assert!(!s.reaches_outside(5000, (OUTSIDE, 53)));
}

#[test]
fn the_bridge_has_the_pinned_program_once_however_many_pods_it_has() {
    let node = node();
    for _ in 0..3 {
        let pod = node.sandbox().unwrap();
        add(&node, &pod, &conf());
        assert_eq!(attached(&node), [pinned(&node)]);
        fail(&node, CniCall::add(&pod, &conf()), 100);
        assert_eq!(attached(&node), [pinned(&node)], "refused ADD");
    }
}

#[test]
fn a_filter_that_somebody_took_from_the_bridge_is_attached_anew_at_once_and_told() {
    let s = isolated();
    for damage in [
        "tc filter del dev bridge0 ingress",
        "tc qdisc del dev bridge0 clsact",
        "tc filter replace dev bridge0 ingress handle 1 prio 1 bpf da bytecode '1,6 0 0 0'",
    ] {
        let told = || s.node.agent_log().matches("bridge0 had another filter or none").count();
        let before = told();
        s.node.sh(damage).unwrap();
        within(Duration::from_secs(5), damage, || attached(&s.node) == [pinned(&s.node)]);
        eventually("it is told", || told() > before);
        expect_isolated(&s);
    }
}

/// Several, since the agent looks at all bridges every ten seconds anyway.
#[test]
fn a_networks_bridge_is_watched_from_its_first_pod_on() {
    let node = ready_node();
    for number in 1..=4 {
        let bridge = format!("bridge{number}");
        let conf = conf_with(json!({
            "name": bridge, "bridge": bridge, "podcidr": format!("10.{}.0.0/24", 13 + number),
        }));
        add(&node, &node.sandbox().unwrap(), &conf);
        node.run(&["tc", "filter", "del", "dev", &bridge, "ingress"]).unwrap();
        within(Duration::from_secs(5), &bridge, || attached_to(&node, &bridge) == [pinned(&node)]);
    }
}

#[test]
fn a_filter_that_went_while_no_agent_was_there_is_back_when_it_is_ready() {
    let s = isolated();
    s.node.stop_agent().unwrap();
    s.node.sh("tc filter del dev bridge0 ingress").unwrap();
    assert!(s.reaches_outside(5000, (OUTSIDE, 53)), "without it the way is open");
    s.node.start_agent(Path::new(AGENT)).unwrap();
    eventually("it is back", || attached(&s.node) == [pinned(&s.node)]);
    expect_isolated(&s);
}

#[test]
fn what_is_asked_before_the_bridges_filter_is_told_wherever_one_looks() {
    let s = isolated();
    s.node
        .sh("tc filter add dev bridge0 ingress protocol all prio 1 handle 2 \
             bpf da bytecode '1,6 0 0 0'")
        .unwrap();
    assert!(s.reaches_outside(5000, (OUTSIDE, 53)), "it lets everything pass");
    let told = "egress to the node and the world is not judged";
    eventually("status says so", || problems(&s.node).contains(told));
    assert!(s.node.run(&[lab::AGENT, "status"]).is_err(), "who asks by exit status learns it");
    // What concerns others does not make it forgotten.
    s.node.run_pod(PodSpec::new("another")).unwrap();
    s.node.wait_until_in_force(Duration::from_secs(30)).unwrap();
    assert!(problems(&s.node).contains(told));
    let (is_sound, health) = s.node.enter(|| client::health().unwrap()).unwrap();
    assert!(!is_sound && health.to_string().contains(told), "{health}");
    s.node.sh("tc filter del dev bridge0 ingress prio 1 handle 2 bpf").unwrap();
    eventually("it is told no more", || !problems(&s.node).contains(told));
    expect_isolated(&s);
}

#[test]
fn check_asks_for_the_bridges_filter() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf());
    let check = CniCall::check(&pod, &conf_with(json!({ "prevResult": result })));
    succeed(&node, check.clone());
    node.kill_agent().unwrap(); // it would attach it anew
    node.sh("tc filter del dev bridge0 ingress").unwrap();
    let complaint = fail(&node, check.clone(), 100);
    assert!(complaint.contains("bridge0 has no eBPF filter to_node"), "{complaint}");
    node.start_agent(Path::new(AGENT)).unwrap();
    eventually("it is back", || attached(&node) == [pinned(&node)]);
    succeed(&node, check.clone());
    // And whoever comes first mends it.
    node.kill_agent().unwrap();
    node.sh("tc filter del dev bridge0 ingress").unwrap();
    node.cni(&CniCall::add(&node.sandbox().unwrap(), &conf())).unwrap(); // no agent takes the pod
    assert_eq!(attached(&node), [pinned(&node)]);
}
