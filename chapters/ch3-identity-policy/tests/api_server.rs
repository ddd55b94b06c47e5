//! A list that comes late, an API server that goes away and comes back.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod kube_api;
mod plugin;
mod scene;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube_api::ApiServer;
use lab::{CniCall, Pod};
use plugin::{conf, fail, ready_node};
use scene::{FRIENDS_ONLY, ask, eventually, reaches, run};

/// A victim, a friend and another, made while the agent had the manifests, and their policy.
fn cluster() -> (Arc<ApiServer>, [Pod; 3]) {
    let node = ready_node();
    let pods = ["victim", "friend", "other"].map(|app| run(&node, app));
    node.apply(FRIENDS_ONLY).unwrap();
    eventually("it is enforced", || !reaches(&node, &pods[2], &pods[0]));
    node.stop_agent().unwrap();
    (ApiServer::start(node), pods)
}

#[test]
fn while_policies_are_not_listed_yet_nothing_is_decided() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    let before = ask(node, "bpf policy get -o json");
    api_server.knows_policies.store(false, Ordering::SeqCst);
    api_server.start_agent();
    eventually("it has asked for them", || node.agent_log().contains("networkpolicies"));
    let pod = node.sandbox().unwrap();
    assert!(fail(node, CniCall::new("STATUS").stdin(conf().to_string()), 50).contains("not all"));
    assert!(fail(node, CniCall::add(&pod, &conf()), 11).contains("ebpf-agent did not"));
    assert_eq!(ask(node, "bpf policy get -o json"), before, "nothing was decided");
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));

    api_server.knows_policies.store(true, Ordering::SeqCst);
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
}

#[test]
fn what_changed_while_the_api_server_was_away_holds_when_it_is_back() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    api_server.start_agent();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    api_server.goes_away();
    eventually("the agent has noticed", || node.agent_log().contains("watching pods"));
    node.apply(&FRIENDS_ONLY.replace("app: friend", "app: other")).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    api_server.comes_back();
    eventually("the other one is a friend now", || reaches(node, &other, &victim));
    assert!(!reaches(node, &friend, &victim));
}

#[test]
fn a_policy_that_cannot_be_read_hides_no_other_one() {
    let (api_server, [victim, friend, other]) = cluster();
    let node = &api_server.node;
    let odd = r#"{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "elsewhere", "name": "odd"}, "spec": {"ingress": 5}}"#;
    node.write_manifest("networkpolicy_elsewhere_odd.yaml", odd).unwrap();
    api_server.start_agent();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    assert!(reaches(node, &friend, &victim) && !reaches(node, &other, &victim));
    let status = node.run(&[lab::AGENT, "status"]).unwrap();
    assert!(status.contains("policy elsewhere/odd is not enforced: all of it"), "{status}");
}
