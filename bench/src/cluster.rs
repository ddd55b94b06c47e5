//! Clusters as there may be, written as manifests: namespaces, the pods of deployments on other
//! nodes, and policies.

use std::net::Ipv4Addr;

use anyhow::Result;
use lab::Node;
use serde_json::{Value, json};

/// How large a cluster is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Namespaces.
    pub namespaces: u32,
    /// Deployments in each: as many different sets of labels.
    pub deployments: u32,
    /// Pods of other nodes in all.
    pub pods: u32,
    /// Policies in all.
    pub policies: u32,
    /// With ports, blocks and egress.
    pub full: bool,
}

/// What policies name, two of them each.
const PORTS: [u16; 8] = [80, 443, 5432, 6379, 8080, 8443, 9090, 9200];

/// The cluster's parts of applications.
const COMPONENTS: [&str; 5] = ["frontend", "backend", "worker", "cache", "database"];

/// The namespace with this number.
pub fn namespace(number: u32) -> String {
    format!("team-{number:02}")
}

/// The labels of a deployment's pods, as Helm charts and the ReplicaSet give them.
pub fn labels(namespace: u32, deployment: u32, revision: u32) -> Value {
    let component = COMPONENTS[deployment as usize % COMPONENTS.len()];
    json!({
        "app.kubernetes.io/name": format!("app-{deployment:02}"),
        "app.kubernetes.io/instance": format!("app-{deployment:02}-prod"),
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": format!("product-{namespace:02}"),
        "app.kubernetes.io/version": "1.27.3",
        "app.kubernetes.io/managed-by": "Helm",
        "pod-template-hash": format!("{:08x}9c", deployment * 7 + revision),
    })
}

impl Size {
    /// Writes all of it into a node's directory of manifests.
    pub fn write(&self, node: &Node) -> Result<()> {
        for number in 0..self.namespaces {
            let file = format!("namespace_{}.yaml", namespace(number));
            write(node, &file, &namespace_object(&namespace(number), &format!("{}", number % 4)))?;
        }
        for number in 0..self.pods {
            let (file, pod) = self.pod(number);
            write(node, &file, &pod)?;
        }
        for number in 0..self.policies {
            let (namespace, nth) = (number % self.namespaces, number / self.namespaces);
            let (name, namespace) = (format!("policy-{nth:02}"), self::namespace(namespace));
            let file = format!("networkpolicy_{namespace}_{name}.yaml");
            let spec = self.spec(nth);
            let spec = if self.full { full(spec, number, nth) } else { spec };
            write(node, &file, &policy(&namespace, &name, spec))?;
        }
        Ok(())
    }

    /// A pod of another node; its file and itself.
    fn pod(&self, number: u32) -> (String, Value) {
        let nth = number % (self.namespaces * self.deployments);
        let (namespace, deployment) = (nth % self.namespaces, nth / self.namespaces);
        // While one revision replaces another there are pods of both.
        let labels = labels(namespace, deployment, u32::from(number.is_multiple_of(10)));
        let replica_set = format!("app-{deployment:02}-{}", text(&labels["pod-template-hash"]));
        let (name, namespace) = (format!("{replica_set}-{number:05}"), self::namespace(namespace));
        let address = address(number);
        let mut pod = pod(&namespace, &name, labels, address);
        if self.full {
            pod["spec"]["containers"] = json!([{ "name": "app", "ports": [
                { "name": "http", "containerPort": 8000 + deployment },
                { "name": "metrics", "containerPort": 9100 },
            ] }]);
        }
        // What the agent does not need, and every pod has.
        pod["metadata"]["generateName"] = format!("{replica_set}-").into();
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set,
            "uid": format!("{nth:08x}-0000-4000-8000-000000000000"),
            "controller": true, "blockOwnerDeletion": true,
        }]);
        pod["metadata"]["annotations"] = json!({
            "checksum/config": format!("{:064x}", u64::from(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            "prometheus.io/scrape": "true",
        });
        (format!("pod_{namespace}_{name}.yaml"), pod)
    }

    /// What the nth policy of a namespace says: first nobody gets in, then some do.
    fn spec(&self, nth: u32) -> Value {
        let app = |deployment: u32| {
            let name = format!("app-{:02}", deployment % self.deployments);
            json!({ "matchLabels": { "app.kubernetes.io/name": name } })
        };
        let whom = match nth % 3 {
            _ if nth == 0 => return json!({ "podSelector": {}, "policyTypes": ["Ingress"] }),
            0 => json!({ "podSelector": app(nth + 1) }),
            1 => {
                json!({ "namespaceSelector": { "matchLabels": { "tier": (nth % 4).to_string() } } })
            }
            _ => json!({
                "namespaceSelector": {},
                "podSelector": { "matchLabels": { "app.kubernetes.io/component": "frontend" } },
            }),
        };
        json!({ "podSelector": app(nth), "ingress": [{ "from": [whom] }] })
    }
}

/// The same policy with ports, and every second one with egress: to the same pods, to DNS, and out
/// of the cluster.
fn full(mut spec: Value, number: u32, nth: u32) -> Value {
    if nth == 0 {
        spec["policyTypes"] = json!(["Ingress", "Egress"]);
        return spec;
    }
    let port = |nth: u32| json!({ "port": PORTS[nth as usize % PORTS.len()] });
    let mut ports = vec![port(number), port(nth + 3), json!({ "port": "http" })];
    if nth.is_multiple_of(5) {
        ports.push(json!({ "protocol": "UDP", "port": 30_000, "endPort": 32_767 }));
    }
    let rule = &mut spec["ingress"][0];
    rule["ports"] = ports.into();
    let peers = rule["from"].clone();
    if nth.is_multiple_of(3)
        && let Some(from) = rule["from"].as_array_mut()
    {
        let (cidr, except) = (number % 250, 64 * (nth % 4));
        from.push(json!({ "ipBlock": {
            "cidr": format!("198.18.{cidr}.0/24"),
            "except": [format!("198.18.{cidr}.{except}/26")],
        } }));
    }
    if nth.is_multiple_of(2) {
        let dns = json!([{ "protocol": "UDP", "port": 53 }, { "port": 53 }]);
        let system = json!({ "kubernetes.io/metadata.name": namespace(0) });
        let out = json!({ "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.169.254/32"] });
        spec["policyTypes"] = json!(["Ingress", "Egress"]);
        spec["egress"] = json!([
            { "to": peers, "ports": [port(number + 1), { "port": "http" }] },
            { "to": [{ "namespaceSelector": { "matchLabels": system } }], "ports": dns },
            { "to": [{ "ipBlock": out }], "ports": [{ "port": 443 }] },
        ]);
    }
    spec
}

/// A namespace of a tier.
pub fn namespace_object(name: &str, tier: &str) -> Value {
    let labels = json!({ "kubernetes.io/metadata.name": name, "tier": tier });
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": name, "labels": labels }, "status": { "phase": "Active" },
    })
}

/// A pod of another node.
pub fn pod(namespace: &str, name: &str, labels: Value, address: Ipv4Addr) -> Value {
    let uid = format!("{:08x}-0000-4000-8000-{:012x}", u32::from(address), u32::from(address));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid, "labels": labels,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "nodeName": format!("node-{:03}", u32::from(address) % 100) },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] },
    })
}

/// A policy.
pub fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

/// The address of a pod of another node.
pub fn address(number: u32) -> Ipv4Addr {
    (u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number).into()
}

/// Writes a manifest, as the lab does it.
pub fn write(node: &Node, file: &str, object: &Value) -> Result<()> {
    node.write_manifest(file, &format!("{object:#}\n"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
