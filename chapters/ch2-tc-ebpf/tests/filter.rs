//! The filter: on each pod's veth once, replaced, checked, gone with the pod.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Node};
use plugin::{add, conf, conf_with, del, fail, node, succeed, traces};
use serde_json::{Value, json};

/// The filters on a link's ingress as the kernel lists them: those with a program.
fn filters(node: &Node, link: &str) -> Vec<Value> {
    let json = node.run(&["tc", "-j", "filter", "show", "dev", link, "ingress"]).unwrap();
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    all.into_iter().filter(|filter| !filter["options"]["handle"].is_null()).collect()
}

fn host_link(result: &Value) -> &str {
    result["interfaces"][1]["name"].as_str().unwrap()
}

/// The ids of all programs in the kernel's pin and on links must be one.
fn pinned_id(node: &Node) -> Value {
    let json = node.run(&["bpftool", "-j", "prog", "show", "pinned", "/sys/fs/bpf/ebpfcni"]);
    serde_json::from_str::<Value>(&json.unwrap()).unwrap()["id"].clone()
}

fn attached_id(node: &Node, link: &str) -> Value {
    let filters = filters(node, link);
    assert_eq!(filters.len(), 1, "{filters:?}");
    assert_eq!(filters[0]["options"]["direct-action"], true);
    filters[0]["options"]["prog"]["id"].clone()
}

#[test]
fn every_pod_has_the_pinned_program_once_and_other_links_have_none() {
    let node = node();
    let pods = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    for pod in &pods {
        let result = add(&node, pod, &conf());
        assert_eq!(attached_id(&node, host_link(&result)), pinned_id(&node));
        fail(&node, CniCall::add(pod, &conf()), 100);
        assert_eq!(attached_id(&node, host_link(&result)), pinned_id(&node), "refused ADD");
    }
    for other in ["bridge0", "lo"] {
        assert_eq!(filters(&node, other), Vec::<Value>::new());
    }
}

#[test]
fn first_adds_at_once_load_the_program_once() {
    let node = node();
    let pods: Vec<_> = (0..8).map(|_| node.sandbox().unwrap()).collect();
    let results: Vec<Value> = std::thread::scope(|scope| {
        let adds: Vec<_> =
            pods.iter().map(|pod| scope.spawn(|| add(&node, pod, &conf()))).collect();
        adds.into_iter().map(|add| add.join().unwrap()).collect()
    });
    for result in &results {
        assert_eq!(attached_id(&node, host_link(result)), pinned_id(&node));
    }
}

#[test]
fn check_asks_for_the_filter_and_del_takes_it_along() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf());
    let check = CniCall::check(&pod, &conf_with(json!({ "prevResult": result })));
    succeed(&node, check.clone());
    node.run(&["tc", "filter", "del", "dev", host_link(&result), "ingress"]).unwrap();
    assert!(fail(&node, check, 100).contains("no eBPF filter"));
    del(&node, &pod, &conf());
    let attached = node.run(&["bpftool", "-j", "net"]).unwrap();
    assert!(!attached.contains("simple_tc"), "{attached}");
}

#[test]
fn a_program_of_another_build_is_replaced_and_its_pods_keep_working() {
    let node = node();
    let [old, new] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let old_result = add(&node, &old, &conf());
    let old_id = pinned_id(&node);
    // What a plugin of another build would have left.
    node.run(&["ln", "-sfT", "build-0-program-0", "/sys/fs/bpf/ebpfcni-build"]).unwrap();
    let new_result = add(&node, &new, &conf());
    assert_ne!(pinned_id(&node), old_id);
    assert_eq!(attached_id(&node, host_link(&new_result)), pinned_id(&node));
    assert_eq!(attached_id(&node, host_link(&old_result)), old_id);
    plugin::ping(&node, &old, &plugin::address(&new_result));
    let prev = json!({ "prevResult": old_result });
    succeed(&node, CniCall::check(&old, &conf_with(prev)));
}

#[test]
fn what_stands_in_the_way_is_named_and_the_add_undone() {
    let cases = [
        // The machine has one too, as a rule.
        ("bpffs is not mounted", "while umount /sys/fs/bpf 2>/dev/null; do :; done"),
        ("/sys/fs/bpf/ebpfcni is something else", "mkdir /sys/fs/bpf/ebpfcni"),
        (
            "/sys/fs/bpf/ebpfcni is something else",
            "bpftool map create /sys/fs/bpf/ebpfcni type hash key 4 value 4 entries 1 name other",
        ),
    ];
    for (complaint, obstacle) in cases {
        let node = node();
        let pod = node.sandbox().unwrap();
        node.sh(obstacle).unwrap();
        let message = fail(&node, CniCall::add(&pod, &conf()), 100);
        assert!(message.contains(complaint), "{obstacle}: {message}");
        assert!(!traces(&node).contains("veth"), "{obstacle}");
        plugin::assert_no_pod_left(&node);
    }
}

#[test]
fn without_the_right_to_load_the_error_says_which() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let call = CniCall::add(&pod, &conf());
    let refuse = ["strace", "-f", "-o", "/dev/null", "-e", "inject=bpf:error=EPERM"];
    let mut child = node.start_cni(&call, &refuse).unwrap();
    lab::feed(&mut child, call.input()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("may not load eBPF programs"), "{said}");
    plugin::assert_no_pod_left(&node);
}
