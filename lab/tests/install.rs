//! A chapter's programs on a node: in which order they come and go.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::path::Path;

use fake::{AGENT, PLUGIN, before_ready, node, runs, seen};
use lab::{Node, NodeStatus, chapter};
use serde_json::json;

fn install(node: &Node, agent: Option<&str>) -> anyhow::Result<()> {
    let conf = json!({ "cniVersion": "1.0.0", "name": "net", "type": "ebpfcni" }).to_string();
    chapter::install_programs(node, Path::new(PLUGIN), agent.map(Path::new), &conf)
}

/// A node without a plugin.
fn empty_node() -> Node {
    let node = node();
    node.sh("rm /opt/cni/bin/*").unwrap();
    node
}

#[test]
fn the_agent_is_ready_before_the_node_is() {
    let node = empty_node();
    before_ready(&node, "ls -A /etc/cni/net.d /opt/cni/bin >last");
    install(&node, Some(AGENT)).unwrap();
    assert_eq!(seen(&node, "last"), "/etc/cni/net.d:\n\n/opt/cni/bin:\n");
    let names = node.sh("ls -A /etc/cni/net.d /opt/cni/bin").unwrap();
    assert_eq!(names, "/etc/cni/net.d:\n10-ebpfcni.conf\n\n/opt/cni/bin:\nebpfcni\n");
    assert_eq!(node.status().unwrap(), NodeStatus::Ready);
    assert!(node.agent_pid().is_some());
}

#[test]
fn a_node_whose_agent_does_not_start_is_not_ready() {
    let node = empty_node();
    before_ready(&node, "exit 1");
    install(&node, Some(AGENT)).unwrap_err();
    assert!(matches!(node.status().unwrap(), NodeStatus::NotReady(_)));
    assert_eq!(node.sh("ls -A /etc/cni/net.d /opt/cni/bin").unwrap().lines().count(), 3);
}

#[test]
fn installing_again_restarts_the_agent_and_installing_without_one_ends_it() {
    let node = empty_node();
    install(&node, Some(AGENT)).unwrap();
    let first = node.agent_pid().unwrap();
    install(&node, Some(AGENT)).unwrap();
    let second = node.agent_pid().unwrap();
    assert!(first != second && !runs(first));
    install(&node, None).unwrap();
    assert!(!runs(second));
    assert_eq!((node.agent_pid(), node.agent_program()), (None, None));
    assert_eq!(node.status().unwrap(), NodeStatus::Ready);
}

#[test]
fn uninstalling_leaves_neither_configuration_nor_plugin_nor_agent() {
    let node = empty_node();
    install(&node, Some(AGENT)).unwrap();
    let pid = node.agent_pid().unwrap();
    for _ in 0..2 {
        chapter::uninstall(&node).unwrap();
        assert!(!runs(pid));
        let left = node.sh("ls -A /etc/cni/net.d /opt/cni/bin /run/lab/bin").unwrap();
        assert_eq!(left, "/etc/cni/net.d:\n\n/opt/cni/bin:\n\n/run/lab/bin:\n");
    }
}
