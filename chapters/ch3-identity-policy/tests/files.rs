//! What the agent writes down: who may read it, where it is, and what becomes of pods when there
//! is no room for it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use chapter::api;
use lab::{Kind, Node, Pod, PodSpec};
use plugin::{AGENT, BINARY, conf};
use scene::{FRIENDS_ONLY, ask, eventually, reaches, run};

/// A node on which a directory is a file system of its own, and small.
fn small_node(directory: &str) -> Node {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    let mount = format!("mkdir -p {directory}; mount -t tmpfs -o size=256k small {directory}");
    node.sh(&mount).unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    node.write_config("10-ebpfcni.conf", &conf().to_string()).unwrap();
    node
}

fn fill(node: &Node, directory: &str) {
    node.sh(&format!("! cat /dev/zero >{directory}/filler 2>/dev/null")).unwrap();
}

fn problems(node: &Node) -> String {
    ask(node, "status")["problems"].to_string()
}

/// Is a pod's address in no map? What it sends is nobody's then.
fn is_nobody(node: &Node, pod: &Pod) -> bool {
    let entries = ask(node, "bpf endpoint list -o json");
    let address = pod.ip.unwrap().to_string();
    entries.as_array().unwrap().iter().all(|entry| entry["address"] != address.as_str())
}

const DENY_ALL: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
                        metadata: {name: deny-all}, spec: {podSelector: {}}}";

#[test]
fn with_no_room_for_files_policies_and_known_labels_are_enforced_and_status_says_what_is_not() {
    let node = small_node("/run/ebpfcni");
    let [victim, friend, other] = ["victim", "friend", "other"].map(|app| run(&node, app));
    let label = |pod: &str, app: &str| node.label(Kind::Pod, "default", pod, &[("app", Some(app))]);
    fill(&node, "/run/ebpfcni");
    // Labels that nobody has had so far need a number, which must be written down.
    label("other", "nobody-yet").unwrap();
    eventually("it is kept out", || {
        problems(&node).contains("default/other has no network: cannot write /run/ebpfcni/")
    });
    assert!(is_nobody(&node, &other) && reaches(&node, &friend, &victim));
    node.apply(DENY_ALL).unwrap();
    eventually("it is enforced", || !reaches(&node, &friend, &victim));
    node.delete_object(Kind::NetworkPolicy, "default", "deny-all").unwrap();
    node.apply(FRIENDS_ONLY).unwrap();
    eventually("so is this", || reaches(&node, &friend, &victim));
    // A known number needs no file; that the pod's own file has other labels is told.
    label("other", "friend").unwrap();
    eventually("it has a network again", || reaches(&node, &other, &victim));
    assert!(problems(&node).contains("No space left on device"), "{}", problems(&node));
    label("other", "nobody-yet").unwrap();
    eventually("it is kept out again", || is_nobody(&node, &other));
    fs::remove_file(node.path("/run/ebpfcni/filler")).unwrap();
    eventually("there is room again", || reaches(&node, &other, &friend));
    eventually("nothing is wrong", || problems(&node) == "[]");
}

#[test]
fn with_no_room_for_its_file_a_new_pod_waits_and_no_other_does() {
    let node = small_node("/run/ebpfcni/.agent");
    let [one, two] = [run(&node, "one"), run(&node, "two")];
    fill(&node, "/run/ebpfcni/.agent");
    let refused = node.run_pod(PodSpec::new("new").label("app", "one")).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("endpoints/veth") && refused.contains("No space left"), "{refused}");
    assert!(reaches(&node, &one, &two));
    fs::remove_file(node.path("/run/ebpfcni/.agent/filler")).unwrap();
    node.sync().unwrap();
    assert!(reaches(&node, &node.pod("default", "new").unwrap(), &two));
    eventually("nothing is wrong", || problems(&node) == "[]");
}

#[test]
fn what_the_agent_writes_down_is_roots_alone() {
    let node = plugin::ready_node();
    run(&node, "pod");
    // As an agent before us has left it.
    node.sh("chmod -R a+rX /run/ebpfcni").unwrap();
    node.stop_agent().unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    run(&node, "another");
    let found = node
        .sh("find /run/ebpfcni/.agent /run/ebpfcni/agent.sock ! -type l -printf '%m %y %P\\n'")
        .unwrap();
    let files = found.lines().filter(|line| line.split(' ').nth(1) == Some("f")).count();
    assert!(files >= 3, "{found}");
    for line in found.lines() {
        let expected = if line.contains(" d ") { "700" } else { "600" };
        assert!(line.starts_with(expected), "{found}");
    }
    let directory = fs::metadata(node.path("/run/ebpfcni")).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
}

/// One request; the status of the answer.
fn request(node: &Node, request: &str) -> String {
    node.enter(|| {
        let mut stream = UnixStream::connect(api::SOCKET).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().into()
    })
    .unwrap()
}

#[test]
fn only_links_of_ours_become_files() {
    let node = plugin::ready_node();
    let pod = run(&node, "pod");
    node.sh("echo {} >/run/bystander.json").unwrap();
    let files = || node.sh("find /run -name '*.json' ! -path '/run/lab/*' | sort").unwrap();
    let before = files();
    let body = r#"{"container_id": "c", "ifname": "eth0", "pod": null, "address": "10.13.0.99",
                   "mac": [2, 0, 0, 0, 0, 9], "ifindex": 1}"#;
    let odd = [
        "..%2Fodd",
        "..%2F..%2F..%2Fbystander",
        "%2E%2E%2F..%2Fodd",
        "veth",
        "lo",
        "odd",
        "veth0000000000g",
        "veth0123456789A",
        "veth012345678901",
        "veth%00",
        "%2Frun%2Fodd",
    ];
    for link in odd {
        for (method, body) in [("PUT", body), ("DELETE", "")] {
            let length = body.len();
            let head = format!("{method} /v1/endpoint/{link} HTTP/1.0\r\n");
            let rest = "Content-Type: application/json\r\nContent-Length:";
            let status = request(&node, &format!("{head}{rest} {length}\r\n\r\n{body}"));
            assert!(status.contains(" 400 "), "{method} {link}: {status}");
            assert_eq!(files(), before, "{method} {link}");
        }
    }
    // A file whose content names another one.
    node.stop_agent().unwrap();
    let endpoints = "/run/ebpfcni/.agent/endpoints";
    let text = node.sh(&format!("cat {endpoints}/*.json")).unwrap();
    let link = text.split("\"link\":\"").nth(1).unwrap().split('"').next().unwrap();
    let moved = text.replace(link, "../../../bystander").replace("10.13.0.2", "10.13.0.98");
    fs::write(node.path(format!("{endpoints}/veth00000000001.json")), moved).unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    eventually("it is told of", || node.agent_log().contains("veth00000000001.json is damaged"));
    assert!(node.path("/run/bystander.json").exists());
    assert!(reaches(&node, &run(&node, "other"), &pod));
}
