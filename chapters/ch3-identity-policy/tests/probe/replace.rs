//! From one cluster to the next without making a new node.

use std::net::Ipv4Addr;

use lab::{Kind, Object, PodSpec};
use serde_json::{Value, json};

use super::Cluster;

/// Where the plugin keeps its leases.
const LEASES: &str = "/run/ebpfcni/ebpfcni";

impl Cluster {
    /// Makes these objects all there are: applies them, and deletes the others.
    pub fn replace(&mut self, objects: &[Value]) {
        let list = json!({ "kind": "List", "items": objects });
        let wanted = Object::parse(&list.to_string()).unwrap();
        for object in &wanted {
            let name = format!("{}/{}", object.namespace, object.name);
            if object.kind == Kind::Pod && !self.places.contains_key(&name) {
                let mut spec = PodSpec::new(&object.name).namespace(&object.namespace);
                spec.labels = object.labels().unwrap();
                spec.containers = object.containers("containers").unwrap();
                spec.init_containers = object.containers("initContainers").unwrap();
                self.start_at(spec, &object.value["status"]["podIPs"][0]["ip"]);
            } else {
                self.node.apply_objects(std::slice::from_ref(object)).unwrap();
            }
            if object.kind == Kind::Pod {
                self.set_containers(object);
            }
        }
        let is_wanted = |kind: Kind, namespace: &str, name: &str| {
            wanted.iter().any(|it| (it.kind, &*it.namespace, &*it.name) == (kind, namespace, name))
        };
        for kind in [Kind::NetworkPolicy, Kind::Pod, Kind::Namespace] {
            for object in self.node.objects(kind).unwrap() {
                let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
                let (namespace, name) = (text("namespace"), text("name"));
                // `settle` has its own.
                let stays = name == "default" || namespace == "fence";
                match kind {
                    _ if stays || is_wanted(kind, namespace, name) => {}
                    Kind::Pod => self.remove(&format!("{namespace}/{name}")),
                    _ => self.node.delete_object(kind, namespace, name).unwrap(),
                }
            }
        }
    }

    /// Starts a pod at this address, if there is one: the one after that given last comes next.
    fn start_at(&mut self, spec: PodSpec, address: &Value) {
        if let Some(address) = address.as_str() {
            let address: Ipv4Addr = address.parse().unwrap();
            let before = Ipv4Addr::from(u32::from(address) - 1);
            let write = format!("mkdir -pm700 {LEASES}; echo -n {before} >{LEASES}/last");
            self.node.sh(&write).unwrap();
        }
        self.start(spec);
    }

    /// The lab runs no containers. Whoever asks for their ports reads of them in the manifest.
    fn set_containers(&self, object: &Object) {
        let (namespace, name) = (&object.namespace, &object.name);
        let mut manifest = self.node.object(Kind::Pod, namespace, name).unwrap().unwrap();
        let containers = &object.value["spec"]["containers"];
        if manifest["spec"]["containers"] != *containers {
            manifest["spec"]["containers"] = containers.clone();
            let file = format!("pod_{namespace}_{name}.yaml");
            self.node.write_manifest(&file, &manifest.to_string()).unwrap();
        }
    }
}
