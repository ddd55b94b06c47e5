//! What kubectl does with objects: apply, delete, label.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::json;

use crate::kind::Kind;
use crate::node::Node;
use crate::object::{Object, file_name, labels_of, metadata, now, set_labels, timestamp};
use crate::out::warn;
use crate::pod::PodSpec;
use crate::run_pod_error::RunPodError;

impl Node {
    /// Applies the objects of some YAML and returns what kubectl would say, a line for each. A
    /// pod is run. Nothing is changed if one of them is wrong.
    pub fn apply(&self, yaml: &str) -> Result<Vec<String>> {
        self.apply_objects(&Object::parse(yaml)?)
    }

    /// The same with objects that are parsed already.
    pub fn apply_objects(&self, objects: &[Object]) -> Result<Vec<String>> {
        self.check_objects(objects)?;
        let line = |object: &Object| {
            let what = match object.kind {
                Kind::Pod => self.apply_pod(object)?,
                Kind::Namespace | Kind::NetworkPolicy => self.put(object)?,
            };
            Ok(format!("{}/{} {what}", object.kind.resource(), object.name))
        };
        objects.iter().map(line).collect()
    }

    /// What can be wrong with an object on this node: its namespace is missing, or the lab does
    /// not have such pods.
    fn check_objects(&self, objects: &[Object]) -> Result<()> {
        let mut namespaces = BTreeSet::new();
        for object in objects {
            let who = || format!("{} {:?}", object.kind.name(), object.name);
            if object.kind == Kind::Namespace {
                namespaces.insert(&object.name);
                continue;
            }
            let is_new = namespaces.contains(&object.namespace);
            if !is_new && !self.exists(Kind::Namespace, "", &object.namespace) {
                return Err(not_found(Kind::Namespace, "", &object.namespace)).with_context(who);
            }
            let spec = &object.value["spec"];
            let node = spec["nodeName"].as_str().unwrap_or(self.name());
            if object.kind == Kind::Pod {
                let hosts = spec["hostNetwork"] == true;
                let fields = ["containers", "initContainers"];
                fields.into_iter().try_for_each(|it| object.containers(it).map(drop))?;
                ensure!(!hosts, "{}: spec.hostNetwork: the lab has no such pods", who());
                ensure!(node == self.name(), "{}: spec.nodeName is not {}", who(), self.name());
            }
        }
        Ok(())
    }

    /// Runs a pod, or gives the one that is there these labels.
    fn apply_pod(&self, object: &Object) -> Result<&'static str> {
        let (namespace, name, labels) = (&object.namespace, &object.name, object.labels()?);
        if !self.exists(Kind::Pod, namespace, name) {
            let mut spec = PodSpec::new(name).namespace(namespace);
            spec.labels = labels;
            spec.containers = object.containers("containers")?;
            spec.init_containers = object.containers("initContainers")?;
            return self.create_pod(spec).map(|()| "created");
        }
        let _lock = self.lock_manifests()?;
        let mut pod = self.pod(namespace, name)?;
        if pod.spec.labels == labels {
            return Ok("unchanged");
        }
        pod.spec.labels = labels;
        self.write_pod(&pod)?;
        Ok("configured")
    }

    /// Runs a pod as kubectl would: it is created, whether it runs yet or not. What a plugin says
    /// against it is a warning.
    pub fn create_pod(&self, spec: PodSpec) -> Result<()> {
        match self.run_pod(spec) {
            Err(RunPodError::Lab(error)) => return Err(error),
            Err(error @ RunPodError::Plugin { .. }) => warn(format_args!("warning: {error}")),
            Err(RunPodError::NotReady(_)) | Ok(_) => {}
        }
        Ok(())
    }

    /// Deletes the objects of some YAML and returns what kubectl would say. One that is not there
    /// keeps nobody from deleting the others, but is an error.
    pub fn delete(&self, yaml: &str) -> Result<Vec<String>> {
        self.delete_objects(&Object::parse(yaml)?)
    }

    /// The same with objects that are parsed already.
    pub fn delete_objects(&self, objects: &[Object]) -> Result<Vec<String>> {
        let exists = |it: &&Object| self.exists(it.kind, &it.namespace, &it.name);
        let (there, missing): (Vec<_>, Vec<_>) = objects.iter().partition(exists);
        for object in &there {
            if exists(object) {
                self.delete_object(object.kind, &object.namespace, &object.name)?;
            } // else it is gone with its namespace
        }
        if let Some(object) = missing.first() {
            return Err(not_found(object.kind, &object.namespace, &object.name));
        }
        let line = |it: &&Object| format!("{} {:?} deleted", it.kind.resource(), it.name);
        Ok(there.iter().map(line).collect())
    }

    /// Deletes one object; a namespace with all that is in it.
    pub fn delete_object(&self, kind: Kind, namespace: &str, name: &str) -> Result<()> {
        match kind {
            Kind::Pod => return self.remove_pod(namespace, name),
            Kind::Namespace => self.empty_namespace(name)?,
            Kind::NetworkPolicy if self.exists(kind, namespace, name) => {}
            Kind::NetworkPolicy => return Err(not_found(kind, namespace, name)),
        }
        self.remove_manifest(&file_name(kind, namespace, name))
    }

    fn empty_namespace(&self, name: &str) -> Result<()> {
        ensure!(name != "default", "namespaces \"default\" is forbidden: it may not be deleted");
        let lock = self.lock_manifests()?;
        let object = self.object(Kind::Namespace, "", name)?;
        let mut object = object.ok_or_else(|| not_found(Kind::Namespace, "", name))?;
        let when = timestamp(now());
        metadata(&mut object)?.entry("deletionTimestamp").or_insert(when.into());
        object["status"] = json!({ "phase": "Terminating" });
        self.write_manifest(&file_name(Kind::Namespace, "", name), &format!("{object:#}\n"))?;
        drop(lock);

        // Its pods first, as Kubernetes does since 1.33: while they run, the policies protect them.
        for pod in self.pods()?.iter().filter(|pod| pod.spec.namespace == name) {
            let removed = self.remove_pod(name, &pod.spec.name);
            removed.with_context(|| format!("pod {:?}", pod.spec.name))?;
        }
        let policies = self.manifests(&format!("networkpolicy_{name}_"))?;
        policies.iter().try_for_each(|policy| self.remove_manifest(policy))
    }

    /// Sets labels of a pod or a namespace, or takes them away.
    pub fn label(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        changes: &[(&str, Option<&str>)],
    ) -> Result<()> {
        let _lock = self.lock_manifests()?;
        match kind {
            Kind::Pod => {
                let mut pod = self.pod(namespace, name)?;
                change(&mut pod.spec.labels, changes);
                self.write_pod(&pod)
            }
            Kind::Namespace => {
                let object = self.object(kind, "", name)?;
                let mut object = object.ok_or_else(|| not_found(kind, "", name))?;
                let mut labels = labels_of(&object)?;
                change(&mut labels, changes);
                set_labels(metadata(&mut object)?, name, labels);
                self.write_manifest(&file_name(kind, "", name), &format!("{object:#}\n"))
            }
            Kind::NetworkPolicy => bail!("nobody selects network policies by their labels"),
        }
    }

    fn exists(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        match kind {
            Kind::Pod => self.pod(namespace, name).is_ok(),
            // A broken one exists, too.
            _ => !matches!(self.object(kind, namespace, name), Ok(None)),
        }
    }
}

fn change(labels: &mut BTreeMap<String, String>, changes: &[(&str, Option<&str>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert((*key).into(), (*value).into()),
            None => labels.remove(*key),
        };
    }
}

fn not_found(kind: Kind, namespace: &str, name: &str) -> anyhow::Error {
    match kind {
        Kind::Namespace => anyhow!("{} {name:?} not found", kind.plural()),
        _ => anyhow!("{} {name:?} not found in namespace {namespace}", kind.plural()),
    }
}
