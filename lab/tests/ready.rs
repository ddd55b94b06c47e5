//! From no configuration to Ready: what the node and its pods say on the way.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use fake::{answer, calls, conf, no_answer, node, order, ready_node, refuse};
use lab::{Node, NodeStatus, Phase, PodSpec, RunPodError};
use serde_json::json;

const NOT_READY: &str = "container runtime network not ready: NetworkReady=false \
    reason:NetworkPluginNotReady message:Network plugin returns error: ";

/// Why the node is not ready.
fn reason(node: &Node) -> String {
    match node.status().unwrap() {
        NodeStatus::Ready => panic!("the node is Ready"),
        NodeStatus::NotReady(message) => message.strip_prefix(NOT_READY).unwrap().to_string(),
    }
}

#[test]
fn a_pod_is_pending_without_configuration_and_runs_once_there_is_one() {
    let node = node();
    assert_eq!(reason(&node), "cni plugin not initialized");
    let error = node.run_pod(PodSpec::new("a")).unwrap_err();
    assert!(matches!(error, RunPodError::NotReady(_)), "{error}");
    node.sync().unwrap();
    let pod = node.pod("default", "a").unwrap();
    assert_eq!((pod.phase, pod.message.as_str()), (Phase::Pending, "cni plugin not initialized"));
    assert_eq!(pod.sandbox, None);
    let error = pod.run(&node, &["true"]).unwrap_err().to_string();
    assert!(error.contains("pod a is Pending"), "{error}");
    assert_eq!(order(&node), [""; 0]);

    node.write_config("10-net.conf", &conf("1.0.0").to_string()).unwrap();
    assert_eq!(node.status().unwrap(), NodeStatus::Ready);
    node.sync().unwrap();
    let running = node.pod("default", "a").unwrap();
    assert_eq!((running.phase, running.uid), (Phase::Running, pod.uid));
    assert_eq!(order(&node), ["one ADD"]);
}

#[test]
fn the_first_configuration_by_name_is_taken() {
    let node = node();
    let named = |name: &str| json!({ "cniVersion": "1.0.0", "name": name, "type": "one" });
    let list = json!({ "cniVersion": "1.0.0", "name": "list", "plugins": [{ "type": "one" }] });
    // Each comes before those that were there.
    let files = [
        ("30-z.conf", named("conf").to_string(), "conf"),
        ("20-list.conflist", list.to_string(), "list"),
        ("15-b.json", named("json").to_string(), "json"),
        ("10-a.conf", named("first").to_string(), "first"),
        ("00-no.conf.bak", "{".into(), "first"),
        ("00-no", "{".into(), "first"),
    ];
    for (number, (file, text, expected)) in files.into_iter().enumerate() {
        node.write_config(file, &text).unwrap();
        node.run_pod(PodSpec::new(format!("pod{number}"))).unwrap();
        assert_eq!(calls(&node)[number].stdin["name"], expected, "{file}");
    }
}

#[test]
fn a_broken_configuration_is_said_by_name_and_not_passed_over() {
    let node = ready_node("1.0.0");
    let cases = [
        ("{", "EOF"),
        ("[]", "invalid type"),
        (r#"{ "cniVersion": "1.0.0", "type": "one" }"#, "\"name\" is missing"),
        (r#"{ "name": "net", "type": "one" }"#, "\"cniVersion\" is missing"),
        (
            r#"{ "cniVersion": 1.0, "name": "net", "type": "one" }"#,
            "\"cniVersion\" is 1.0, which is no string",
        ),
        (
            r#"{ "cniVersion": "1.0.0", "name": null, "type": "one" }"#,
            "\"name\" is null, which is no string",
        ),
        (r#"{ "cniVersion": "1.0.0", "name": "net" }"#, "\"type\""),
        (r#"{ "cniVersion": "1.0.0", "name": "net", "type": "../one" }"#, "without \"/\""),
        (r#"{ "cniVersion": "1.0.0", "name": "net", "plugins": [{}] }"#, "\"type\""),
        (r#"{ "cniVersion": "1.0.0", "name": "net", "plugins": {} }"#, "\"plugins\""),
        (r#"{ "cniVersion": "1.0.0", "name": "net", "plugins": [] }"#, "\"plugins\""),
    ];
    for (number, (text, what)) in cases.into_iter().enumerate() {
        node.write_config("05-broken.conf", text).unwrap();
        let reason = reason(&node);
        assert!(reason.contains("05-broken.conf") && reason.contains(what), "{text}: {reason}");
        let name = format!("pod{number}");
        node.run_pod(PodSpec::new(&name)).unwrap_err();
        let pod = node.pod("default", &name).unwrap();
        assert_eq!((pod.phase, pod.message), (Phase::Pending, reason));
    }
    assert_eq!(order(&node), [""; 0]);
}

#[test]
fn a_plugin_that_is_not_there_is_said() {
    let node = node();
    let conf = json!({ "cniVersion": "1.0.0", "name": "net", "type": "nowhere" });
    node.write_config("10-net.conf", &conf.to_string()).unwrap();
    let error = node.run_pod(PodSpec::new("a")).unwrap_err().to_string();
    assert!(error.contains("/opt/cni/bin/nowhere"), "{error}");
    // It is a failed ADD as any other: tried again, and it keeps nobody from the other pods.
    assert_eq!(node.pod("default", "a").unwrap().phase, Phase::ContainerCreating);
    node.sync().unwrap();
    node.sh("ln /opt/cni/bin/ebpfcni /opt/cni/bin/nowhere").unwrap();
    node.sync().unwrap();
    assert_eq!(node.pod("default", "a").unwrap().phase, Phase::Running);
}

#[test]
fn status_is_asked_from_1_1_0_on_and_its_no_is_the_nodes() {
    for (version, asked) in [("0.3.1", false), ("0.4.0", false), ("1.0.0", false), ("1.1.0", true)]
    {
        let node = ready_node(version);
        refuse(&node, "one.STATUS");
        if asked {
            assert!(reason(&node).contains("not today: no reason"));
            no_answer(&node, "one.STATUS");
        }
        assert_eq!(node.status().unwrap(), NodeStatus::Ready, "{version}");
        assert_eq!(order(&node).len(), if asked { 2 } else { 0 }, "{version}");
    }
}

#[test]
fn gc_is_called_from_1_1_0_on() {
    for (version, expected) in [("1.0.0", &[][..]), ("1.1.0", &["one GC"])] {
        let node = ready_node(version);
        node.gc().unwrap();
        assert_eq!(order(&node), expected, "{version}");
    }
}

#[test]
fn a_warning_of_a_plugin_does_not_spoil_its_result() {
    let node = ready_node("1.0.0");
    let result = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.2.3/16" }] });
    answer(&node, "one.ADD", &format!("echo careful >&2; echo '{result}'"));
    assert_eq!(node.run_pod(PodSpec::new("a")).unwrap().ip.unwrap().to_string(), "10.1.2.3");
}

#[test]
fn a_pods_name_is_given_once() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a")).unwrap();
    let error = node.run_pod(PodSpec::new("a")).unwrap_err().to_string();
    assert_eq!(error, "pods \"a\" already exists");
    node.run_pod(PodSpec::new("a").namespace("other")).unwrap();
    let error = node.remove_pod("default", "b").unwrap_err().to_string();
    assert_eq!(error, "pods \"b\" not found in namespace default");
    assert_eq!(order(&node), ["one ADD", "one ADD"]);
}
