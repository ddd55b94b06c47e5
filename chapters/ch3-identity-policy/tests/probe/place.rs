//! Where a socket may be opened: the node, a pod, or somewhere outside.

use std::net::Ipv4Addr;

use lab::{Node, Sandbox};
use serde_json::{Value, json};

use super::{Cluster, split};

/// Where a client is, and with which address.
#[derive(Debug, Clone)]
pub struct Place {
    /// None: the node itself.
    pub sandbox: Option<Sandbox>,
    /// Its source; 0.0.0.0 leaves it to the kernel.
    pub address: Ipv4Addr,
}

impl Place {
    pub fn new(sandbox: Sandbox, address: Ipv4Addr) -> Self {
        Self { sandbox: Some(sandbox), address }
    }

    pub fn node() -> Self {
        Self { sandbox: None, address: Ipv4Addr::UNSPECIFIED }
    }

    /// Runs a closure inside: what it opens stays there.
    pub fn enter<T: Send>(&self, node: &Node, f: impl FnOnce() -> T + Send) -> T {
        match &self.sandbox {
            Some(sandbox) => sandbox.enter(node, f).unwrap(),
            None => node.enter(f).unwrap(),
        }
    }
}

impl Cluster {
    /// Makes a network behind the node: its addresses are 192.0.2.2, .3, …, the node's 192.0.2.1.
    /// Each is a place by its address; it knows the way to the pods.
    pub fn outside(&mut self, last: u8) {
        let sandbox = self.node.sandbox().unwrap();
        let peer = sandbox.netns().rsplit('/').next().unwrap();
        self.node
            .sh(&format!(
                "ip link add uplink type veth peer name eth0 netns {peer}
                 ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up
                 for i in $(seq 2 {last}); do ip -n {peer} addr add 192.0.2.$i/24 dev eth0; done
                 ip -n {peer} link set eth0 up
                 ip -n {peer} route add default via 192.0.2.1
                 until ip link show uplink | grep -q 'state UP'; do sleep 0.01; done"
            ))
            .unwrap();
        for last in 2..=last {
            let address = Ipv4Addr::new(192, 0, 2, last);
            self.places.insert(address.to_string(), Place::new(sandbox.clone(), address));
        }
    }

    /// What the API says of a pod of another node, `namespace/name`, and then some.
    pub fn elsewhere(&self, name: &str, labels: &Value, change: impl Fn(&mut Value)) {
        let (namespace, name) = split(name);
        let uid = format!("uid-of-{name}");
        let metadata =
            json!({ "namespace": namespace, "name": name, "uid": uid, "labels": labels });
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": { "nodeName": "another" }, "status": { "phase": "Running" },
        });
        change(&mut pod);
        let file = format!("pod_{namespace}_{name}.yaml");
        self.node.write_manifest(&file, &pod.to_string()).unwrap();
    }

    /// Servers at 192.0.2.2, and on the node.
    pub fn serve_outside(&mut self) {
        self.serve("192.0.2.2", self.places["192.0.2.2"].clone());
        let node = Place { sandbox: None, address: Ipv4Addr::new(10, 13, 0, 1) };
        self.serve("10.13.0.1", node);
    }

    /// An echo request and its answer.
    #[track_caller]
    pub fn ping(&self, from: &str, to: &str) {
        self.places[from].sandbox.as_ref().unwrap().ping(&self.node, self.ip(to)).unwrap();
    }

    /// A Service of 10.96.0.10 with one pod behind it, as kube-proxy would make it.
    pub fn service(&self, backend: &str) {
        let backend = self.ip(backend);
        let rules = format!(
            "table ip service
             delete table ip service
             table ip service {{
               chain prerouting {{
                 type nat hook prerouting priority dstnat
                 ip daddr 10.96.0.10 dnat to {backend}
               }}
               chain postrouting {{
                 type nat hook postrouting priority srcnat - 1
                 ip saddr {backend} ip daddr {backend} masquerade
               }}
             }}"
        );
        self.node.run(&["nft", &rules]).unwrap();
    }
}
