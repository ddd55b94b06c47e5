//! The lab's manifests instead of an API server: broken ones, half ones, one object in two.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use lab::{CniCall, Kind, Node, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugin::{AGENT, BINARY, add, conf, fail, ready_node, traces};
use scene::{FRIENDS_ONLY, ask, eventually, reaches, run};
use serde_json::{Value, json};

/// Isolates nobody, and is told of in the agent's status: so one knows that it has been seen.
const TELLS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: tells }
spec: { podSelector: { matchLabels: { app: nobody } }, ingress: [{ tells: true }] }
";

#[test]
fn a_manifest_that_never_parsed_keeps_it_from_ready_and_adds_wait() {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    let broken = "{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: x}";
    node.write_manifest("networkpolicy_default_x.yaml", broken).unwrap();
    node.spawn_agent(Path::new(AGENT)).unwrap();
    let said = || node.agent_log();
    eventually("it says which manifest, and what of it", || {
        said().contains("networkpolicy_default_x.yaml") && said().contains("metadata.name")
    });
    let pod = node.sandbox().unwrap();
    let message = fail(&node, CniCall::add(&pod, &conf()), 11);
    assert!(message.contains("ebpf-agent did not"), "{message}");
    assert!(fail(&node, CniCall::new("STATUS").stdin(conf().to_string()), 50).contains("not all"));
    assert!(!traces(&node).contains("veth"));
    assert_eq!(ask(&node, "bpf policy get -o json"), json!([]), "nothing was decided");
    node.write_manifest("networkpolicy_default_x.yaml", FRIENDS_ONLY).unwrap();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    add(&node, &pod, &conf());
}

#[test]
fn a_manifest_that_stops_parsing_keeps_its_last_good_content() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    assert!(reaches(&node, &friend, &victim) && !reaches(&node, &other, &victim));
    let name = "networkpolicy_default_friends-only.yaml";
    for broken in ["{", "kind: NetworkPolicy", "", "[]", "{kind: Secret, apiVersion: v1}"] {
        node.write_manifest(name, broken).unwrap();
        // A second pod's ADD comes after it: the agent has seen both by then.
        let after = run(&node, "after");
        assert!(!reaches(&node, &other, &victim), "{broken:?}");
        node.remove_pod("default", &after.spec.name).unwrap();
    }
    let problems = ask(&node, "status")["problems"].to_string();
    assert!(problems.contains(name) && problems.contains("last good content"), "{problems}");
    node.write_manifest("new.yaml", "{").unwrap();
    eventually("a new one that is not understood is told of", || {
        ask(&node, "status")["problems"].to_string().contains("new.yaml")
    });
    fs::remove_file(node.path("/run/lab/manifests/new.yaml")).unwrap();
    // Half a rule would let in everybody: nobody looks before the file is closed.
    let half = FRIENDS_ONLY.split("[{ pod").next().unwrap();
    let path = node.path(format!("/run/lab/manifests/{name}"));
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(half.replace("[{ from:", "\n  - from:").as_bytes()).unwrap();
    run(&node, "meanwhile");
    assert!(!reaches(&node, &other, &victim));
    drop(file);
    eventually("closed, it is what it says", || reaches(&node, &other, &victim));
    node.delete_object(Kind::NetworkPolicy, "default", "friends-only").unwrap();
    eventually("it is gone when its file is", || reaches(&node, &other, &victim));
}

#[test]
fn an_object_in_two_files_is_there_until_it_is_in_neither() {
    let node = ready_node();
    let both = format!("{FRIENDS_ONLY}---\n{}", FRIENDS_ONLY.replace("friends-only", "another"));
    node.write_manifest("a.yaml", &both).unwrap();
    node.write_manifest("b.yaml", FRIENDS_ONLY).unwrap();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    let isolated_by =
        |policies: Value| ask(&node, "endpoint get victim -o json")["ingress"] == policies;
    let two = json!(["default/another", "default/friends-only"]);
    eventually("both are", || isolated_by(two.clone()));
    let another = FRIENDS_ONLY.replace("friends-only", "another");
    node.write_manifest("a.yaml", &format!("{another}---\n{TELLS}")).unwrap();
    eventually("seen", || ask(&node, "status")["problems"].to_string().contains("tells"));
    assert!(isolated_by(two), "one of them is in the other file still");
    fs::remove_file(node.path("/run/lab/manifests/b.yaml")).unwrap();
    eventually("one is gone", || isolated_by(json!(["default/another"])));
    assert!(!reaches(&node, &other, &victim));
    fs::remove_file(node.path("/run/lab/manifests/a.yaml")).unwrap();
    eventually("both are gone", || reaches(&node, &other, &victim));
}

#[test]
fn of_an_object_in_several_files_the_last_one_counts_when_the_agent_starts() {
    let node = ready_node();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    for round in 0..3 {
        node.stop_agent().unwrap();
        // Files are read by several threads: the last one may be read first.
        for file in 0..40 {
            let app = if file == 39 { ["other", "friend"][round % 2] } else { "nobody" };
            let policy = FRIENDS_ONLY.replace("app: friend", &format!("app: {app}"));
            node.write_manifest(&format!("{file:02}.yaml"), &policy).unwrap();
        }
        node.start_agent(Path::new(AGENT)).unwrap();
        let reached = (reaches(&node, &other, &victim), reaches(&node, &friend, &victim));
        assert_eq!(reached, (round % 2 == 0, round % 2 == 1));
    }
}

#[test]
fn of_an_object_in_several_files_the_last_one_counts_whichever_is_written_last() {
    let node = ready_node();
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    let write = |file: &str, app: &str| {
        let policy = FRIENDS_ONLY.replace("app: friend", &format!("app: {app}"));
        node.write_manifest(file, &policy).unwrap();
        node.wait_until_in_force(PATIENCE).unwrap();
    };
    let reached = || (reaches(&node, &friend, &victim), reaches(&node, &other, &victim));
    write("b.yaml", "friend");
    write("a.yaml", "other");
    assert_eq!(reached(), (true, false));
    let problems = ask(&node, "status")["problems"].to_string();
    assert!(problems.contains("is in a.yaml and b.yaml: what b.yaml says counts"), "{problems}");
    node.kill_agent().unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    assert_eq!(reached(), (true, false));
    fs::remove_file(node.path("/run/lab/manifests/b.yaml")).unwrap();
    node.wait_until_in_force(PATIENCE).unwrap();
    assert_eq!(reached(), (false, true));
    assert_eq!(ask(&node, "status")["problems"], json!([]));
}

#[test]
fn a_file_that_is_written_again_is_not_read_before_it_is_closed_again() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    let path = node.path("/run/lab/manifests/networkpolicy_default_friends-only.yaml");
    // The agent hears of the first writing when the second one has begun.
    let agent = Pid::from_raw(node.agent_pid().unwrap().cast_signed());
    kill(agent, Signal::SIGSTOP).unwrap();
    fs::write(&path, FRIENDS_ONLY).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    let half = FRIENDS_ONLY.split("[{ pod").next().unwrap().replace("[{ from:", "\n  - from:");
    file.write_all(half.as_bytes()).unwrap();
    kill(agent, Signal::SIGCONT).unwrap();
    run(&node, "meanwhile");
    assert!(!reaches(&node, &other, &victim));
    eventually("it is told of", || {
        ask(&node, "status")["problems"].to_string().contains("is not closed by who writes it")
    });
    drop(file);
    eventually("closed, it is what it says", || reaches(&node, &other, &victim));
    assert_eq!(ask(&node, "status")["problems"], json!([]));
}

#[test]
fn what_is_no_file_keeps_nobody_waiting_and_what_a_link_leads_to_is_looked_at() {
    let node = ready_node();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    node.sh("mkfifo /run/lab/fifo; mv /run/lab/fifo /run/lab/manifests/fifo.yaml; mkdir /run/lab/manifests/directory.yaml; \
             truncate -s 65M /run/lab/zeros; ln -s ../zeros /run/lab/manifests/large.yaml")
        .unwrap();
    fs::write(node.path("/run/lab/policy"), FRIENDS_ONLY).unwrap();
    node.sh("ln -s ../policy /run/lab/manifests/link.yaml").unwrap();
    node.wait_until_in_force(PATIENCE).unwrap();
    assert!(!reaches(&node, &other, &victim));
    let problems = ask(&node, "status")["problems"].to_string();
    for name in ["fifo.yaml", "directory.yaml", "large.yaml"] {
        assert!(problems.contains(name), "{problems}");
    }
    // inotify says nothing of it: the agent looks every ten seconds.
    fs::write(node.path("/run/lab/policy"), FRIENDS_ONLY.replace("app: friend", "app: other"))
        .unwrap();
    eventually("it is read again", || reaches(&node, &other, &victim));
}

#[test]
fn without_its_directory_the_agent_ends_and_says_why() {
    for damage in
        ["mv /run/lab/manifests /run/lab/renamed", "mount -t tmpfs none /run/lab/manifests"]
    {
        let node = ready_node();
        node.sh(damage).unwrap();
        eventually("it ends", || node.agent_pid().is_none());
        assert!(node.agent_log().contains("start the agent anew"), "{damage}");
    }
}

#[test]
fn what_leaves_one_of_two_files_before_the_agent_is_ready_is_in_the_other_still() {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    node.write_config("10-ebpfcni.conf", &conf().to_string()).unwrap();
    for file in ["a.yaml", "b.yaml"] {
        node.write_manifest(file, FRIENDS_ONLY).unwrap();
    }
    node.write_manifest("broken.yaml", "{").unwrap();
    node.spawn_agent(Path::new(AGENT)).unwrap();
    eventually("it has read them", || node.agent_log().contains("broken.yaml"));
    node.write_manifest("b.yaml", TELLS).unwrap();
    fs::remove_file(node.path("/run/lab/manifests/broken.yaml")).unwrap();
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    assert!(!reaches(&node, &other, &victim));
}
