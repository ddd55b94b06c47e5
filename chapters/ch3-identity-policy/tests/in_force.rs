//! When `lab apply` returns, the kernel's maps follow what was applied.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use chapter::{
    entries,
    maps::{PolicyKey, endpoint_map, epoch, policy_map},
};
use lab::{InForce, Kind, Node, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::ready_node;
use scene::{FRIENDS_ONLY, reaches, run};
use serde_json::json;

const POLICY: &str = "networkpolicy_default_friends-only.yaml";

fn settle(node: &Node) {
    assert_eq!(node.wait_until_in_force(PATIENCE).unwrap(), InForce::Yes);
}

fn signal(node: &Node, signal: Signal) {
    kill(Pid::from_raw(node.agent_pid().unwrap() as i32), signal).unwrap();
}

/// Who may talk to whom: the map itself, for to ask the agent would be a wait as well.
fn pairs(node: &Node) -> BTreeSet<PolicyKey> {
    let keys = || {
        let (epoch, map) = (epoch().unwrap(), policy_map().unwrap());
        let all = map.iter().map(Result::unwrap);
        all.filter(|(_, entry)| entries::allows(entry, epoch)).map(|(key, _)| key).collect()
    };
    node.enter(keys).unwrap()
}

fn endpoints(node: &Node) -> usize {
    let count = || {
        let (epoch, map) = (epoch().unwrap(), endpoint_map().unwrap());
        map.iter().filter(|it| entries::endpoint(&it.as_ref().unwrap().1, epoch).is_some()).count()
    };
    node.enter(count).unwrap()
}

/// Each change is another, and the maps are looked at without any wait.
#[test]
fn whatever_is_changed_is_in_the_maps_when_the_wait_is_over() {
    let node = ready_node();
    let [victim, friend] = ["victim", "friend"].map(|app| run(&node, app));
    settle(&node);
    let open = pairs(&node);
    let without = |key: &'static str| (key, None);
    for round in 0..20 {
        node.apply(FRIENDS_ONLY).unwrap();
        settle(&node);
        let isolated = pairs(&node);
        assert!(isolated != open && reaches(&node, &friend, &victim), "{round}: applied");
        node.label(Kind::Pod, "default", "friend", &[without("app")]).unwrap();
        settle(&node);
        assert!(!pairs(&node).is_superset(&isolated), "{round}: a friend no more");
        node.label(Kind::Pod, "default", "friend", &[("app", Some("friend"))]).unwrap();
        settle(&node);
        assert_eq!(pairs(&node), isolated, "{round}: a friend again");
        let path = node.path(format!("/run/lab/manifests/{POLICY}"));
        // Not by rename: the same inode.
        let all = fs::read_to_string(&path).unwrap().replace("friend\"", "enemy\"");
        fs::write(&path, all).unwrap();
        settle(&node);
        assert!(pairs(&node) != isolated, "{round}: written over");
        node.delete_object(Kind::NetworkPolicy, "default", "friends-only").unwrap();
        settle(&node);
        assert_eq!(pairs(&node), open, "{round}: deleted");
    }
}

#[test]
fn the_wait_is_not_over_while_the_agent_has_not_looked() {
    let node = ready_node();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    settle(&node);
    signal(&node, Signal::SIGSTOP);
    node.apply(FRIENDS_ONLY).unwrap();
    let error = node.wait_until_in_force(Duration::from_millis(50)).unwrap_err().to_string();
    assert_eq!(error, "the agent has not answered in 50ms: see `lab agent log`");
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| settle(&node));
        // Nothing to wait for: that nothing happens.
        std::thread::sleep(Duration::from_millis(200));
        assert!(!wait.is_finished() && reaches(&node, &other, &victim));
        signal(&node, Signal::SIGCONT);
        wait.join().unwrap();
        assert!(!reaches(&node, &other, &victim) && reaches(&node, &friend, &victim));
    });
}

/// It is read, and its last good content holds: there is nothing more to come.
#[test]
fn a_manifest_that_is_not_understood_keeps_nobody_waiting() {
    let node = ready_node();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    for broken in ["a: b: c", "", "directory", "agent start"] {
        match broken {
            "directory" => node.sh("mkdir /run/lab/manifests/directory.yaml").map(drop).unwrap(),
            "agent start" => {
                node.remove_manifest("new.yaml").unwrap();
                node.sh("rmdir /run/lab/manifests/directory.yaml").unwrap();
                node.stop_agent().unwrap();
                node.start_agent(&node.agent_program().unwrap()).unwrap();
            }
            text => node.write_manifest("new.yaml", text).unwrap(),
        }
        node.apply(FRIENDS_ONLY).unwrap();
        settle(&node);
        assert!(!reaches(&node, &other, &victim), "{broken}");
        node.delete_object(Kind::NetworkPolicy, "default", "friends-only").unwrap();
        settle(&node);
        assert!(reaches(&node, &other, &victim), "{broken}");
    }
}

#[test]
fn without_the_agent_nothing_is_waited_for() {
    let node = ready_node();
    node.kill_agent().unwrap();
    node.apply(FRIENDS_ONLY).unwrap();
    assert_eq!(node.wait_until_in_force(PATIENCE).unwrap(), InForce::AgentDoesNotRun);
    node.start_agent(&node.agent_program().unwrap()).unwrap();
    settle(&node);
}

/// A thousand at once are one wait.
#[test]
fn pods_of_other_nodes_are_in_the_maps_as_well() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let pods = (0..1000).map(|number: u32| {
        let address = format!("10.14.{}.{}", number / 250, number % 250 + 1);
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("pod-{number}"), "uid": format!("uid-{number}") },
            "spec": { "nodeName": "another" },
            "status": { "phase": "Running", "podIPs": [{ "ip": address }] },
        })
    });
    let pods: Vec<_> = pods.map(|pod| pod.to_string()).collect();
    node.write_manifest("others.yaml", &pods.join("\n---\n")).unwrap();
    settle(&node);
    assert_eq!(endpoints(&node), 1000);
    node.remove_manifest("others.yaml").unwrap();
    settle(&node);
    assert_eq!(endpoints(&node), 0);
}
