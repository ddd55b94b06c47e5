//! The plugin under test: of the package that is tested. Later chapters run these tests too.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use lab::{CniCall, CniOutput, Node, Sandbox};
use serde_json::{Value, json};

/// The plugin's program.
pub const BINARY: &str = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));

/// The program that runs beside it on a node, in chapters that have one.
pub const AGENT: Option<&str> =
    option_env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME"), "-agent"));

/// A node with the plugin installed and its agent running, and nothing else.
pub fn node() -> Node {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    if let Some(agent) = AGENT {
        node.start_agent(Path::new(agent)).unwrap();
    }
    node
}

/// The talk's configuration, in the newest version.
pub fn conf() -> Value {
    conf_with(json!({}))
}

/// The same with other or more keys; `null` takes a key away.
pub fn conf_with(changes: Value) -> Value {
    let mut conf = json!({
        "cniVersion": "1.1.0", "name": "ebpfcni", "type": "ebpfcni", "podcidr": "10.13.0.0/24"
    });
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => conf.as_object_mut().unwrap().shift_remove(key),
            value => conf.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    conf
}

/// A ready node: `pods` may be run on it.
pub fn ready_node() -> Node {
    let node = node();
    node.write_config("10-ebpfcni.conf", &conf().to_string()).unwrap();
    node
}

/// ADD that must succeed.
pub fn add(node: &Node, sandbox: &Sandbox, conf: &Value) -> Value {
    succeed(node, CniCall::add(sandbox, conf)).json().unwrap()
}

/// DEL that must succeed.
pub fn del(node: &Node, sandbox: &Sandbox, conf: &Value) {
    succeed(node, CniCall::del(sandbox, conf));
}

/// A pod's ping that must be answered.
pub fn ping(node: &Node, from: &Sandbox, to: &str) {
    from.ping(node, to).unwrap();
}

/// A call that must succeed.
pub fn succeed(node: &Node, call: CniCall) -> CniOutput {
    let output = node.cni(&call).unwrap();
    assert!(output.success(), "{call:?}\n{output:?}");
    output
}

/// A call that must fail with this code; returns "msg: details".
pub fn fail(node: &Node, call: CniCall, code: u64) -> String {
    let output = node.cni(&call).unwrap();
    assert!(!output.success(), "succeeded: {call:?}\n{output:?}");
    let error = output.json().unwrap_or_else(|e| panic!("{e}: {output:?}"));
    assert_eq!(error["code"], code, "{call:?}\n{error:#}");
    assert!(error["cniVersion"].is_string(), "{error:#}");
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_string();
    format!("{}: {}", text("msg"), text("details"))
}

/// What a plugin could have left on a node: links, addresses, rules, leases.
pub fn traces(node: &Node) -> String {
    node.sh("ip -o link | awk -F'[:@ ]+' '{print $2}'; ip -o -4 addr | awk '{print $2, $4}'; nft list ruleset;
         cd /run/ebpfcni 2>/dev/null && find . -name '*@*' | sort; true")
        .unwrap()
}

/// Asserts that no pod has left anything. The bridge is the network's, it stays.
pub fn assert_no_pod_left(node: &Node) {
    let traces = traces(node);
    for trace in ["veth", "@", "masquerade"] {
        assert!(!traces.contains(trace), "{trace} is left:\n{traces}");
    }
}

/// The address in a result, without the prefix length.
pub fn address(result: &Value) -> String {
    let cidr = result["ips"][0]["address"].as_str().unwrap();
    cidr.split('/').next().unwrap().to_string()
}
