//! Real servers and clients in real pods: who reaches whom?

#![allow(dead_code, reason = "each test file uses its part")]

pub mod expect;
mod place;
mod replace;
mod round;
mod servers;
pub mod socket;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lab::{Kind, Node, PodSpec};
use serde_json::{Value, json};

use crate::plugin::ready_node;
pub use place::Place;
pub use servers::PORTS;
use servers::{Servers, Serving, Sockets};

/// How long anything may take that must come to be.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A node with its agent, and pods that serve.
#[derive(Debug)]
pub struct Cluster {
    serving: BTreeMap<String, Serving>,
    servers: Servers,
    /// On which whoever serves listens.
    pub ports: Vec<u16>,
    pub places: BTreeMap<String, Place>,
    pub node: Node,
}

impl Cluster {
    /// With these pods, `namespace/name`. Their labels are `pod=name`, the namespaces' `ns=name`.
    pub fn new(pods: &[&str]) -> Self {
        Self::on(ready_node(), pods)
    }

    pub fn on(node: Node, pods: &[&str]) -> Self {
        let mut cluster = Self {
            serving: BTreeMap::new(),
            servers: Servers::start(),
            ports: PORTS.into(),
            places: BTreeMap::from([("node".into(), Place::node())]),
            node,
        };
        for name in pods {
            let (namespace, pod) = split(name);
            cluster.namespace(namespace, &json!({ "ns": namespace }));
            cluster.run(name, &[("pod", pod)]);
        }
        cluster
    }

    /// Makes a namespace, or gives one these labels and no others.
    pub fn namespace(&self, name: &str, labels: &Value) {
        let metadata = json!({ "name": name, "labels": labels });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
    }

    /// Runs a pod that serves.
    pub fn run(&mut self, name: &str, labels: &[(&str, &str)]) {
        let (namespace, pod) = split(name);
        let mut spec = PodSpec::new(pod).namespace(namespace);
        for (key, value) in labels {
            spec = spec.label(*key, *value);
        }
        self.start(spec);
    }

    /// Runs such a pod, which serves.
    pub fn start(&mut self, spec: PodSpec) {
        let name = format!("{}/{}", spec.namespace, spec.name);
        let pod = self.node.run_pod(spec).unwrap();
        self.serve(&name, Place::new(pod.sandbox.unwrap(), pod.ip.unwrap()));
    }

    /// Opens servers in some place, by which name they answer.
    pub fn serve(&mut self, name: &str, place: Place) {
        let sockets = place.enter(&self.node, || Sockets::open(&self.ports));
        self.serving.insert(name.into(), self.servers.serve(name, sockets));
        self.places.insert(name.into(), place);
    }

    /// Deletes a pod.
    pub fn remove(&mut self, name: &str) {
        let (namespace, pod) = split(name);
        self.node.remove_pod(namespace, pod).unwrap();
        self.places.remove(name);
        self.serving.remove(name);
    }

    /// Applies an object.
    pub fn apply(&self, object: &Value) {
        self.node.apply(&object.to_string()).unwrap();
    }

    /// Applies a NetworkPolicy: `namespace/name` and what is below `spec`, as YAML.
    pub fn policy(&self, name: &str, spec: &str) {
        let (namespace, name) = split(name);
        let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy";
        let metadata = format!("metadata: {{ namespace: {namespace}, name: {name} }}");
        self.node.apply(&format!("{head}\n{metadata}\nspec: {spec}")).unwrap();
    }

    /// Deletes a NetworkPolicy.
    pub fn delete_policy(&self, name: &str) {
        let (namespace, name) = split(name);
        self.node.delete_object(Kind::NetworkPolicy, namespace, name).unwrap();
    }

    /// Sets a label of a pod, or of a namespace if there is no slash; `None` takes it away.
    pub fn label(&self, whose: &str, key: &str, value: Option<&str>) {
        let (kind, namespace, name) = match whose.split_once('/') {
            Some((namespace, name)) => (Kind::Pod, namespace, name),
            None => (Kind::Namespace, "", whose),
        };
        self.node.label(kind, namespace, name, &[(key, value)]).unwrap();
    }

    /// All pods' names.
    pub fn pods(&self) -> impl Iterator<Item = &str> {
        self.serving.keys().map(String::as_str).filter(|name| name.contains('/'))
    }

    /// The address of a pod.
    pub fn ip(&self, name: &str) -> Ipv4Addr {
        self.places[name].address
    }

    // #region settle
    /// Waits until the agent has seen all that was changed so far. It tells what it does not
    /// enforce when the maps are written: so a policy of which there is nothing to enforce says
    /// when its turn has come, and with it that of all before it.
    pub fn settle(&self) {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let turn = format!("turn-{}", TURN.fetch_add(1, Ordering::Relaxed));
        let fence = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": "fence", "name": "fence" },
            "spec": { "ingress": [{ &turn: true }] },
        });
        self.node.write_manifest("networkpolicy_fence_fence.yaml", &fence.to_string()).unwrap();
        let its_turn = || self.problems().iter().any(|it| it.contains(&format!("{turn:?}")));
        wait_until("the agent sees what was changed", its_turn);
        // Else what is tried by it proves nothing.
        let log = self.node.agent_log();
        assert!(!log.contains("is not understood"), "{log}");
    }
    // #endregion settle

    /// Has a token come to some server, answered or not?
    pub fn has_arrived(&self, token: u64) -> bool {
        self.servers.arrived.has(token)
    }

    /// The addresses in `endpoint_map`, and whether they are of this node.
    pub fn endpoint_map(&self) -> BTreeMap<String, bool> {
        self.settle();
        let entries = self.agent(&["bpf", "endpoint", "list", "-o", "json"]);
        let entry = |it: &Value| (it["address"].as_str().unwrap().into(), it["ifindex"] != 0);
        entries.as_array().unwrap().iter().map(entry).collect()
    }

    /// What the agent says is not as it should be.
    pub fn problems(&self) -> Vec<String> {
        // It fails where the kernel does not do what is wanted, and answers all the same.
        let ask = format!("{} status || true", lab::AGENT);
        let mut status = Value::Null;
        wait_until("the agent answers", || {
            let answer = self.node.sh(&ask).unwrap_or_default();
            status = serde_json::from_str(&answer).unwrap_or_default();
            !status.is_null()
        });
        let problems = status["problems"].as_array().unwrap();
        problems.iter().map(|it| it.as_str().unwrap().into()).collect()
    }

    /// What the agent's command line answers; on a busy machine it may take more than one question.
    pub fn agent(&self, arguments: &[&str]) -> Value {
        let mut answer = Err(anyhow::anyhow!("it was not asked"));
        lab::wait_until(DEADLINE, || {
            answer = self.node.run(&[&[lab::AGENT], arguments].concat());
            answer.is_ok()
        });
        serde_json::from_str(&answer.unwrap()).unwrap()
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or_else(|| panic!("{name}: it must be namespace/name"))
}

/// Waits for something that must come to be.
#[track_caller]
fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(lab::wait_until(DEADLINE, is_so), "waited in vain: {what}");
}
