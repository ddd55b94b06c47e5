//! What is full: the policy map, the endpoint map, the identities. It fails closed, is told, and
//! heals when there is room.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chapter::{agent::owners::identity::Identities, api::Labels, api::SecurityLabels};
use lab::{Node, PodSpec};
use plugin::{AGENT, ready_node};
use scene::{ask, maps, reaches, run};

/// Waits until `ebpf-agent status` tells of a problem, or of none.
#[track_caller]
fn wait_for_problem(node: &Node, problem: Option<&str>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let problems = ask(node, "status")["problems"].to_string();
        match problem {
            Some(problem) if problems.contains(problem) => return,
            None if problems == "[]" => return,
            _ => assert!(Instant::now() < deadline, "{problem:?} is not {problems}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address of another node's pods.
fn address(number: u32) -> std::net::Ipv4Addr {
    (0x0a40_0000 + number).into()
}

/// A pod of another node with a label of its own.
fn remote_pod(number: u32, addresses: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p{number}, uid: u{number}, labels: \
         {{number: n{number}}}}}, spec: {{nodeName: other}}, status: {{podIPs: [{addresses}]}}}}"
    )
}

#[test]
fn a_full_policy_map_denies_says_so_and_recovers() {
    let node = ready_node();
    let [server, client] = ["server", "client"].map(|app| run(&node, app));
    assert!(reaches(&node, &client, &server));
    // 262 identities, each isolated and reachable by all: 68,644 pairs.
    let remote = (0..260).map(|it| remote_pod(it, &format!("{{ip: {}}}", address(it))));
    node.write_manifest("remote.yaml", &remote.collect::<Vec<_>>().join("\n---\n")).unwrap();
    node.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: all-pods}, \
         spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}}",
    )
    .unwrap();
    wait_for_problem(&node, Some("policy_map: it is full; what is left out is denied"));
    let (_, pairs) = maps(&node);
    assert!(pairs.len() <= 65_536 && pairs.len() > 65_000, "{}", pairs.len());
    assert!(!pairs.iter().any(|(source, _)| *source == 0), "nobody is open to everybody");
    node.remove_manifest("remote.yaml").unwrap();
    wait_for_problem(&node, None);
    assert!(reaches(&node, &client, &server));
    let after = maps(&node);
    assert_eq!(after.1.len(), 4, "{after:?}");
}

#[test]
fn a_full_endpoint_map_refuses_a_new_pod_says_so_and_recovers() {
    let node = ready_node();
    let old = run(&node, "old");
    // One pod of another node will do, if it has enough addresses.
    let addresses: Vec<_> = (0..16_384u32).map(|it| format!("{{ip: {}}}", address(it))).collect();
    let remote = remote_pod(0, &addresses.join(", "));
    node.write_manifest("remote.yaml", &remote).unwrap();
    wait_for_problem(&node, Some("endpoint_map: it is full; what is left out is denied"));
    old.ping(&node, "10.13.0.1").unwrap();
    // There is no room for it.
    let pod = node.run_pod(PodSpec::new("new"));
    assert!(pod.is_err(), "{pod:?}");
    node.remove_manifest("remote.yaml").unwrap();
    wait_for_problem(&node, None);
    node.sync().unwrap();
    let new = node.pod("default", "new").unwrap();
    new.ping(&node, old.ip.unwrap()).unwrap();
}

#[test]
fn a_full_identity_space_keeps_a_new_pod_out_says_so_and_recovers() {
    let node = ready_node();
    let old = run(&node, "old");
    node.stop_agent().unwrap();
    let file = node.path("/run/ebpfcni/.agent/identities.json");
    let before = fs::read(&file).unwrap();
    // Numbers rest for two hours after their last pod: these are nobody's, and not free.
    let mut identities = Identities::load(file.clone(), Duration::from_secs(2 * 3600)).unwrap();
    let numbered = |number: u32| Labels::from([("number".into(), number.to_string())]);
    let labels = |number| SecurityLabels { labels: numbered(number), ..SecurityLabels::default() };
    assert!((0..65_536).any(|number| identities.get(&labels(number)).is_none()), "not full");
    identities.save().unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    let refused = std::thread::scope(|scope| {
        let new = scope.spawn(|| node.run_pod(PodSpec::new("new").label("app", "new")));
        wait_for_problem(&node, Some("all identities are taken"));
        node.ping(old.ip.unwrap()).unwrap();
        new.join().unwrap().unwrap_err()
    });
    assert!(format!("{refused:#}").contains("all identities are taken"), "{refused:#}");
    node.stop_agent().unwrap();
    fs::write(&file, before).unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    node.sync().unwrap();
    assert!(reaches(&node, &node.pod("default", "new").unwrap(), &old));
}
