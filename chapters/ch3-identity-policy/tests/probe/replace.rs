//! From one cluster to the next without making a new node.

use lab::{Kind, Object, PodSpec};
use serde_json::{Value, json};

use super::Cluster;

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
                self.start(spec);
            } else {
                self.node.apply_objects(std::slice::from_ref(object)).unwrap();
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
}
