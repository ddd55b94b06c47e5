//! The agent: what it waits for, what outlives it, and what the node does without it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::path::Path;

use lab::{CniCall, Kind, Node, NodeStatus, PodSpec};
use plugin::{AGENT, BINARY, add, conf, conf_with, del, fail, ready_node, succeed};
use scene::{FRIENDS_ONLY, ask, eventually, reaches, run};
use serde_json::json;

/// Identity by pod name.
fn identity(node: &Node, pod: &str) -> u64 {
    let endpoints = ask(node, "endpoint list -o json");
    let found = endpoints.as_array().unwrap().iter().find(|it| it["pod"]["name"] == pod);
    found.unwrap_or_else(|| panic!("{pod}: {endpoints:#}"))["identity"].as_u64().unwrap()
}

#[test]
fn without_it_the_last_known_policy_holds_and_no_pod_comes() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    node.kill_agent().unwrap();
    assert!(reaches(&node, &friend, &victim) && !reaches(&node, &other, &victim));
    let NodeStatus::NotReady(why) = node.status().unwrap() else { panic!("Ready") };
    assert!(why.contains("cannot reach ebpf-agent"), "{why}");
    let pod = node.sandbox().unwrap();
    assert!(fail(&node, CniCall::add(&pod, &conf()), 11).contains("does it run?"));
    // DEL works, and takes the pod out of the map itself.
    let address = friend.ip.unwrap().to_string();
    let in_map = || ask(&node, "bpf endpoint list -o json").to_string().contains(&address);
    assert!(in_map());
    node.remove_pod("default", "friend").unwrap();
    assert!(!in_map());

    node.start_agent(Path::new(AGENT)).unwrap();
    let known = ask(&node, "endpoint list -o json");
    assert_eq!(known.as_array().unwrap().len(), 2, "it has found out: {known:#}");
    assert!(!reaches(&node, &other, &victim));
    let friend = run(&node, "friend");
    assert!(reaches(&node, &friend, &victim));
}

#[test]
fn a_restart_keeps_identities_and_endpoints_and_does_not_flush() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    let state = || (ask(&node, "endpoint list -o json"), ask(&node, "bpf endpoint list -o json"));
    let before = state();
    let mut pings = friend.command(&node, "ping").unwrap();
    pings.args(["-i0.01", "-c100", "-W20", "-q", &victim.ip.unwrap().to_string()]);
    let pings = pings.stdout(std::process::Stdio::piped()).spawn().unwrap();
    for stop in [Node::stop_agent, Node::kill_agent, Node::stop_agent] {
        stop(&node).unwrap();
        node.start_agent(Path::new(AGENT)).unwrap();
        assert_eq!(state(), before);
        assert!(!reaches(&node, &other, &victim));
    }
    let pings = String::from_utf8(pings.wait_with_output().unwrap().stdout).unwrap();
    assert!(pings.contains(" 0% packet loss"), "{pings}");
}

#[test]
fn what_happened_while_it_was_away_holds_when_it_is_ready() {
    let node = ready_node();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    node.kill_agent().unwrap();
    node.apply(FRIENDS_ONLY).unwrap();
    node.label(Kind::Pod, "default", "other", &[("app", Some("friend"))]).unwrap();
    node.label(Kind::Pod, "default", "friend", &[("app", None)]).unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    assert!(!reaches(&node, &friend, &victim) && reaches(&node, &other, &victim));
}

#[test]
fn labels_that_no_policy_asks_about_and_that_differ_everywhere_make_no_identities() {
    let node = ready_node();
    let run = |name: &str, hash: &str| {
        let spec = PodSpec::new(name).label("app", "web").label("pod-template-hash", hash);
        node.run_pod(spec).unwrap()
    };
    let [first, second] = [run("first", "1"), run("second", "2")];
    node.run_pod(PodSpec::new("third").label("app", "web").label("env", "staging")).unwrap();
    assert_eq!(identity(&node, "first"), identity(&node, "second"));
    assert_ne!(identity(&node, "first"), identity(&node, "third"), "one label more");
    assert!(identity(&node, "first") >= 256);
    node.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: revision}, \
         spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: \
         {pod-template-hash: '1'}}}]}]}}",
    )
    .unwrap();
    eventually("who is asked for counts", || identity(&node, "first") != identity(&node, "second"));
    assert!(reaches(&node, &first, &second) && !reaches(&node, &second, &first));
}

#[test]
fn an_address_whose_owner_is_still_there_is_nobody_elses() {
    let node = ready_node();
    let pod = run(&node, "victim");
    // Nobody but the agent knows any more: an older plugin's pod, whose lease was lost.
    let host_link = "$(ip -o link show 10.13.0.2 | sed 's/^[0-9]*: //; s/@.*//')";
    node.sh(&format!("ip link property del dev {host_link} altname 10.13.0.2")).unwrap();
    node.run(&["rm", "-r", "/run/ebpfcni/ebpfcni"]).unwrap();
    let sandbox = node.sandbox().unwrap();
    let message = fail(&node, CniCall::add(&sandbox, &conf()), 11);
    assert!(message.contains("10.13.0.2 belongs to veth"), "{message}");
    assert!(reaches(&node, &run(&node, "friend"), &pod));
}

#[test]
fn check_asks_agent_and_kernel() {
    let node = ready_node();
    let sandbox = node.sandbox().unwrap();
    let result = add(&node, &sandbox, &conf());
    let check = CniCall::check(&sandbox, &conf_with(json!({ "prevResult": result })));
    succeed(&node, check.clone());
    let map = "/sys/fs/bpf/tc/globals/endpoint_map";
    node.run(&["bpftool", "map", "delete", "pinned", map, "key", "10", "13", "0", "2"]).unwrap();
    assert!(fail(&node, check.clone(), 100).contains("endpoint_map has no 10.13.0.2"));
    node.kill_agent().unwrap();
    assert!(fail(&node, check, 5).contains("ebpf-agent"));
    del(&node, &sandbox, &conf());
}

#[test]
fn chapter_2_may_have_been_here() {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    node.sh("bpftool map create /sys/fs/bpf/ebpfcni type hash key 4 value 4 entries 1 name other")
        .unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    add(&node, &node.sandbox().unwrap(), &conf());
}
