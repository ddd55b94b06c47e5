//! A plugin that records its calls: here the runtime is under test.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod cli;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::Node;
use serde_json::{Value, json};

/// The plugin's program.
pub const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/plugin.sh");

/// The agent's program.
pub const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/agent.sh");

/// A policy in the namespace shop.
pub const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: shop}
spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
";

/// The namespace shop, a pod and a policy in it.
pub fn shop() -> String {
    format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{team: a}}}}}}\n---\n\
         {{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, labels: {{app: web}}}}}}\n\
         ---\n{POLICY}"
    )
}

/// A call that the plugin got.
#[derive(Debug, PartialEq)]
pub struct Call {
    pub plugin: String,
    pub command: String,
    pub environment: BTreeMap<String, String>,
    pub stdin: Value,
}

/// A node with three names of the plugin, and no configuration.
pub fn node() -> Node {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(PLUGIN)).unwrap();
    node.sh("mkdir -p /run/fake/calls; cd /opt/cni/bin; for name in one two three; do ln ebpfcni $name; done")
        .unwrap();
    node
}

/// A configuration of one plugin.
pub fn conf(version: &str) -> Value {
    json!({ "cniVersion": version, "name": "net", "type": "one", "key": [1, { "a": null }] })
}

/// A node that is ready, with one plugin.
pub fn ready_node(version: &str) -> Node {
    let node = node();
    node.write_config("10-net.conf", &conf(version).to_string()).unwrap();
    node
}

/// A node whose network is a chain of all three plugins.
pub fn chain_node(version: &str) -> Node {
    let node = node();
    let plugins = json!([{ "type": "one", "x": 1 }, { "type": "two" }, { "type": "three" }]);
    let list = json!({ "cniVersion": version, "name": "chain", "plugins": plugins });
    node.write_config("10-chain.conflist", &list.to_string()).unwrap();
    node
}

/// Lets a shell script answer a plugin's command from now on: `answer(&node, "one.ADD", …)`.
pub fn answer(node: &Node, call: &str, script: &str) {
    fs::write(node.path(format!("/run/fake/{call}")), script).unwrap();
}

/// Makes a command fail with a result as the spec wants it.
pub fn refuse(node: &Node, call: &str) {
    answer(
        node,
        call,
        r#"echo '{ "code": 11, "msg": "not today", "details": "no reason" }'; exit 1"#,
    );
}

/// The usual answer again.
pub fn no_answer(node: &Node, call: &str) {
    fs::remove_file(node.path(format!("/run/fake/{call}"))).unwrap();
}

/// All calls so far, in their order.
pub fn calls(node: &Node) -> Vec<Call> {
    let directory = node.path("/run/fake/calls");
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let read = |name: &std::ffi::OsString| {
        let file = |file| fs::read_to_string(directory.join(name).join(file)).unwrap();
        let environment = file("environment");
        let pairs = environment.lines().map(|line| line.split_once('=').unwrap());
        let environment: BTreeMap<String, String> =
            pairs.map(|(name, value)| (name.into(), value.into())).collect();
        Call {
            plugin: file("plugin").trim().into(),
            command: environment["CNI_COMMAND"].clone(),
            environment,
            stdin: serde_json::from_str(&file("stdin")).unwrap(),
        }
    };
    names.iter().map(read).collect()
}

/// The calls in short: `one ADD`.
pub fn order(node: &Node) -> Vec<String> {
    calls(node).iter().map(|call| format!("{} {}", call.plugin, call.command)).collect()
}

/// The names of the pods' namespaces on a node.
pub fn namespaces(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.path("/run/netns")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What the agent has written down under this name.
pub fn seen(node: &Node, name: &str) -> String {
    fs::read_to_string(node.path(format!("/run/fake/agent/{name}"))).unwrap_or_default()
}

/// Lets the agent do this before it is READY.
pub fn before_ready(node: &Node, script: &str) {
    fs::write(node.path("/run/fake/agent.start"), script).unwrap();
}

/// A manifest, which must be whole.
pub fn manifest(node: &Node, file_name: &str) -> Option<Value> {
    let text = fs::read(node.path(format!("/run/lab/manifests/{file_name}"))).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

/// The names of all manifests, and of what should not be there.
pub fn manifests(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(node.path("/run/lab/manifests")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Does the process run? One that nobody has waited for yet does not.
pub fn runs(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/net")).is_ok()
}

/// Waits until something is so; on a busy machine that may take its time.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(lab::wait_until(Duration::from_secs(60), is_so), "in 60 seconds not so: {what}");
}
