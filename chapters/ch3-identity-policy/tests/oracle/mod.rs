//! What NetworkPolicies mean, written straight from the rules S1 to S10 as a naive search through
//! the objects' JSON. It shares nothing with the agent.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod random;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

pub type Labels = BTreeMap<String, String>;

/// All there is in a cluster.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Labels by name.
    pub namespaces: BTreeMap<String, Labels>,
    /// Labels by `namespace/name`.
    pub pods: BTreeMap<String, Labels>,
    /// What is below `spec`, by `namespace/name`.
    pub policies: BTreeMap<String, Value>,
    /// What else there is to say of pods that are, or may come to be; a later chapter asks for it.
    pub hosts: BTreeMap<String, Host>,
}

/// A pod's address, and what its container calls its ports: name, protocol, number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub address: Ipv4Addr,
    pub ports: Vec<(String, &'static str, u16)>,
}

impl World {
    /// May a connection be? From a pod, or (`None`) from outside of the cluster, to a pod.
    pub fn allows(&self, from: Option<&str>, to: &str) -> bool {
        // Over `lo`, where nobody looks.
        if from == Some(to) {
            return true;
        }
        // S3. In this chapter no rule lets anybody out.
        let out = from.is_none_or(|from| self.isolating(from, "Egress").is_empty());
        // S1, S2
        let policies = self.isolating(to, "Ingress");
        let lets_in = |it: &(&str, &Value)| {
            list(&it.1["ingress"]).iter().any(|rule| self.rule_holds(it.0, rule, from))
        };
        out && (policies.is_empty() || policies.iter().any(lets_in))
    }

    /// S1, S5, S27: the policies that isolate a pod, with their namespaces.
    pub fn isolating(&self, pod: &str, direction: &str) -> Vec<(&str, &Value)> {
        let policies = self.policies.iter().map(|(name, spec)| (namespace(name), spec));
        let selects = |spec: &Value| matches(&spec["podSelector"], &self.pods[pod]);
        policies
            .filter(|it| it.0 == namespace(pod) && has_type(it.1, direction) && selects(it.1))
            .collect()
    }

    /// S6, S7. In this chapter a rule with ports is for nobody.
    fn rule_holds(&self, of: &str, rule: &Value, from: Option<&str>) -> bool {
        if !list(&rule["ports"]).is_empty() {
            return false;
        }
        let peers = list(&rule["from"]);
        let is_peer = |from| peers.iter().any(|peer| self.is_peer(of, peer, from));
        peers.is_empty() || from.is_some_and(is_peer)
    }

    /// S8
    pub fn is_peer(&self, of: &str, peer: &Value, from: &str) -> bool {
        let (pods, namespaces) = (&peer["podSelector"], &peer["namespaceSelector"]);
        let says_nothing = pods.is_null() && namespaces.is_null();
        if says_nothing || !peer["ipBlock"].is_null() {
            return false;
        }
        let in_namespace = match namespaces {
            Value::Null => namespace(from) == of,
            selector => matches(selector, &self.labels_of_namespace(namespace(from))),
        };
        in_namespace && matches(pods, &self.pods[from])
    }

    /// S10
    fn labels_of_namespace(&self, name: &str) -> Labels {
        let mut labels = self.namespaces[name].clone();
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
        labels
    }

    /// All as objects of Kubernetes.
    pub fn objects(&self) -> Vec<Value> {
        let metadata = |name: &str| {
            let (namespace, name) = name.split_once('/').unwrap();
            json!({ "namespace": namespace, "name": name })
        };
        let namespaces = self.namespaces.iter().map(|(name, labels)| {
            let metadata = json!({ "name": name, "labels": labels });
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
        });
        let pods = self.pods.iter().map(|(name, labels)| {
            let mut metadata = metadata(name);
            metadata["labels"] = json!(labels);
            let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata });
            if let Some(host) = self.hosts.get(name) {
                host.write(&mut pod);
            }
            pod
        });
        let policies = self.policies.iter().map(|(name, spec)| {
            let (version, kind) = ("networking.k8s.io/v1", "NetworkPolicy");
            json!({ "apiVersion": version, "kind": kind, "metadata": metadata(name), "spec": spec })
        });
        namespaces.chain(pods).chain(policies).collect()
    }
}

/// Where datagrams are sent to all the time.
pub const FLOW_PORTS: [u16; 1] = [7];

/// May a datagram pass? `_hidden`: with the node's address for its source.
pub fn lets_flow(world: &World, from: &str, to: &str, _port: u16, _hidden: bool) -> bool {
    world.allows(Some(from), to)
}

impl Host {
    /// Writes it into an object.
    fn write(&self, pod: &mut Value) {
        let port = |(name, protocol, number): &(String, &str, u16)| json!({ "name": name, "protocol": protocol, "containerPort": number });
        let ports: Vec<_> = self.ports.iter().map(port).collect();
        pod["spec"]["containers"] = json!([{ "name": "it", "ports": ports }]);
        pod["status"]["podIPs"] = json!([{ "ip": self.address }]);
    }
}

/// S4
fn has_type(spec: &Value, direction: &str) -> bool {
    let types = list(&spec["policyTypes"]);
    if types.is_empty() {
        return direction == "Ingress" || !list(&spec["egress"]).is_empty();
    }
    types.iter().any(|it| it == direction)
}

/// S9. No selector selects as much as an empty one.
fn matches(selector: &Value, labels: &Labels) -> bool {
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    let mut exact = exact.map(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let expressions = list(&selector["matchExpressions"]);
    exact.all(|it| it) && expressions.iter().all(|it| holds(it, labels))
}

fn holds(expression: &Value, labels: &Labels) -> bool {
    let value = labels.get(expression["key"].as_str().unwrap());
    let is_listed =
        || list(&expression["values"]).iter().any(|it| it.as_str() == value.map(String::as_str));
    match expression["operator"].as_str().unwrap() {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        other => panic!("{other} is no operator"),
    }
}

/// Missing, null and empty are the same everywhere.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn namespace(name: &str) -> &str {
    name.split_once('/').unwrap().0
}
