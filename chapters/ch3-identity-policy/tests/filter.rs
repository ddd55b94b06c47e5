//! The filters: on each pod's veth once, replaced, checked, gone with the pod.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use lab::{CniCall, Node};
use plugin::{add, conf, conf_with, del, fail, node, succeed, traces};
use scene::eventually;
use serde_json::{Value, json};

/// Both programs with the side of the veth that each is on.
const PROGRAMS: [(&str, &str); 2] = [("from-pod", "ingress"), ("to-pod", "egress")];

/// The filters on one side of a link as the kernel lists them: those with a program.
fn filters(node: &Node, link: &str, side: &str) -> Vec<Value> {
    let json = node.run(&["tc", "-j", "filter", "show", "dev", link, side]).unwrap();
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    all.into_iter().filter(|filter| !filter["options"]["handle"].is_null()).collect()
}

fn host_link(result: &Value) -> &str {
    result["interfaces"][1]["name"].as_str().unwrap()
}

/// The ids of the pinned programs.
fn pinned_ids(node: &Node) -> [Value; 2] {
    PROGRAMS.map(|(name, _)| {
        let pin = format!("/sys/fs/bpf/ebpfcni-{name}");
        let json = node.run(&["bpftool", "-j", "prog", "show", "pinned", &pin]).unwrap();
        serde_json::from_str::<Value>(&json).unwrap()["id"].clone()
    })
}

/// The ids of the programs on a link: one on each side.
fn attached_ids(node: &Node, link: &str) -> [Value; 2] {
    PROGRAMS.map(|(_, side)| {
        let filters = filters(node, link, side);
        assert_eq!(filters.len(), 1, "{side}: {filters:?}");
        assert_eq!(filters[0]["options"]["direct-action"], true);
        filters[0]["options"]["prog"]["id"].clone()
    })
}

#[test]
fn every_pod_has_the_pinned_programs_once_and_other_links_have_none() {
    let node = node();
    let pods = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    for pod in &pods {
        let result = add(&node, pod, &conf());
        assert_eq!(attached_ids(&node, host_link(&result)), pinned_ids(&node));
        fail(&node, CniCall::add(pod, &conf()), 100);
        assert_eq!(attached_ids(&node, host_link(&result)), pinned_ids(&node), "refused ADD");
    }
    for (link, (_, side)) in ["bridge0", "lo"].iter().flat_map(|it| PROGRAMS.map(|at| (it, at))) {
        let is_ours = |it: &Value| pinned_ids(&node).contains(&it["options"]["prog"]["id"]);
        assert!(!filters(&node, link, side).iter().any(is_ours), "{link} {side}");
    }
}

#[test]
fn first_adds_at_once_load_the_programs_once() {
    let node = node();
    // As if the agent had not: the plugin loads what it finds missing.
    node.sh("rm /sys/fs/bpf/ebpfcni-*").unwrap();
    let pods: Vec<_> = (0..8).map(|_| node.sandbox().unwrap()).collect();
    let results: Vec<Value> = std::thread::scope(|scope| {
        let adds: Vec<_> =
            pods.iter().map(|pod| scope.spawn(|| add(&node, pod, &conf()))).collect();
        adds.into_iter().map(|add| add.join().unwrap()).collect()
    });
    for result in &results {
        assert_eq!(attached_ids(&node, host_link(result)), pinned_ids(&node));
    }
}

#[test]
fn check_asks_for_each_filter_and_del_takes_them_along() {
    for (name, side) in PROGRAMS {
        let node = node();
        let pod = node.sandbox().unwrap();
        let result = add(&node, &pod, &conf());
        let check = CniCall::check(&pod, &conf_with(json!({ "prevResult": result })));
        succeed(&node, check.clone());
        node.kill_agent().unwrap(); // it would attach it anew
        node.run(&["tc", "filter", "del", "dev", host_link(&result), side]).unwrap();
        let complaint = format!("no eBPF filter {}", name.replace('-', "_"));
        assert!(fail(&node, check, 100).contains(&complaint));
        del(&node, &pod, &conf());
        let attached = node.run(&["bpftool", "-j", "net"]).unwrap();
        assert!(!attached.contains("_pod"), "{attached}");
    }
}

#[test]
fn programs_of_another_build_are_replaced_and_their_pods_keep_working() {
    let node = node();
    let [old, new] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let old_result = add(&node, &old, &conf());
    let old_ids = pinned_ids(&node);
    // What a plugin of another build would have left.
    node.run(&["ln", "-sfT", "build-0-programs-0-0", "/sys/fs/bpf/ebpfcni-policy-build"]).unwrap();
    let new_result = add(&node, &new, &conf());
    assert_ne!(pinned_ids(&node), old_ids);
    assert_eq!(attached_ids(&node, host_link(&new_result)), pinned_ids(&node));
    // The agent puts the new ones in the place of the old.
    eventually("the old pod's filters are the new programs", || {
        attached_ids(&node, host_link(&old_result)) == pinned_ids(&node)
    });
    plugin::ping(&node, &old, &plugin::address(&new_result));
    let prev = json!({ "prevResult": old_result });
    succeed(&node, CniCall::check(&old, &conf_with(prev)));
}

#[test]
fn what_stands_in_the_way_is_named_and_the_add_undone() {
    let cases = [
        // The machine has one too, as a rule.
        ("bpffs is not mounted", "while umount /sys/fs/bpf 2>/dev/null; do :; done"),
        (
            "ebpfcni-from-pod is something else",
            "cd /sys/fs/bpf; rm ebpfcni-from-pod; mkdir ebpfcni-from-pod",
        ),
        (
            "ebpfcni-to-pod is something else",
            "cd /sys/fs/bpf; rm ebpfcni-to-pod; \
             bpftool map create ebpfcni-to-pod type hash key 4 value 4 entries 1 name other",
        ),
        (
            "a pinned map has another layout",
            "cd /sys/fs/bpf; rm ebpfcni-* tc/globals/endpoint_map; \
             bpftool map create tc/globals/endpoint_map type hash key 4 value 4 entries 1 name other",
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
    node.sh("rm /sys/fs/bpf/ebpfcni-*").unwrap();
    let call = CniCall::add(&pod, &conf());
    let refuse = ["strace", "-f", "-o", "/dev/null", "-e", "inject=bpf:error=EPERM"];
    let mut child = node.start_cni(&call, &refuse).unwrap();
    lab::feed(&mut child, call.input()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("may not load eBPF programs"), "{said}");
    plugin::assert_no_pod_left(&node);
}
