//! What an API server would know of this node, as a directory: the agent watches it. Each object
//! is a file of JSON, `<kind>_<namespace>_<name>.yaml`, or `namespace_<name>.yaml`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::node::Node;
use crate::object::{Object, file_name, lower, metadata, new_uid, now, timestamp};
use crate::pod::Pod;

/// The directory on every node.
pub(crate) const MANIFESTS: &str = "/run/lab/manifests";

impl Node {
    /// Writes a file into the directory of manifests, by rename, whatever is in it.
    pub fn write_manifest(&self, file_name: &str, text: &str) -> Result<()> {
        self.write_by_rename(&format!("{MANIFESTS}/{file_name}"), text.as_bytes())
    }

    /// Removes a file of the directory of manifests. None to remove is no error.
    pub fn remove_manifest(&self, file_name: &str) -> Result<()> {
        match fs::remove_file(self.path(format!("{MANIFESTS}/{file_name}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove the manifest {file_name}"))
            }
            _ => Ok(()),
        }
    }

    /// All objects of a kind, by namespace and name.
    pub fn objects(&self, kind: Kind) -> Result<Vec<Value>> {
        let names = self.manifests(&format!("{}_", lower(kind)))?;
        let read = |name: &String| self.read_manifest(name).transpose();
        let mut objects = names.iter().filter_map(read).collect::<Result<Vec<_>>>()?;
        let key = |object: &Value| {
            ["namespace", "name"].map(|key| object["metadata"][key].as_str().map(String::from))
        };
        objects.sort_by_cached_key(key);
        Ok(objects)
    }

    /// One object, if it is there.
    pub fn object(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        self.read_manifest(&file_name(kind, namespace, name))
    }

    /// The files whose names begin so. Temporary files of `write_by_rename` begin with a dot.
    pub(crate) fn manifests(&self, prefix: &str) -> Result<Vec<String>> {
        let directory = fs::read_dir(self.path(MANIFESTS)).context("cannot list the manifests")?;
        let mut names = Vec::new();
        for entry in directory {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.starts_with(prefix).then_some(name));
        }
        Ok(names)
    }

    fn read_manifest(&self, file_name: &str) -> Result<Option<Value>> {
        let text = match fs::read_to_string(self.path(format!("{MANIFESTS}/{file_name}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read the manifest {file_name}"))?,
        };
        // Why is the agent's to say.
        let broken = |_| anyhow!("the manifest {file_name} is broken");
        serde_saphyr::from_str(&text).map(Some).map_err(broken)
    }

    /// Who reads a manifest in order to change it holds this meanwhile.
    pub(crate) fn lock_manifests(&self) -> Result<File> {
        let directory = File::open(self.path(MANIFESTS)).context("cannot open the manifests")?;
        directory.lock().context("cannot lock the manifests")?;
        Ok(directory)
    }

    /// Makes a namespace without labels unless it is there.
    pub(crate) fn ensure_namespace(&self, name: &str) -> Result<()> {
        let _lock = self.lock_manifests()?;
        if self.object(Kind::Namespace, "", name)?.is_none() {
            self.put_locked(&Object::namespace(name, &BTreeMap::new())?)?;
        }
        Ok(())
    }

    /// Writes an object down and says what has come of it: created, configured or unchanged.
    pub(crate) fn put(&self, object: &Object) -> Result<&'static str> {
        let _lock = self.lock_manifests()?;
        self.put_locked(object)
    }

    fn put_locked(&self, object: &Object) -> Result<&'static str> {
        // A broken one is replaced.
        let old = self.object(object.kind, &object.namespace, &object.name);
        let old = old.unwrap_or(Some(Value::Null));
        let mut object = object.clone();
        let kept =
            |key: &str| old.as_ref().map(|old| &old["metadata"][key]).and_then(Value::as_str);
        let uid = kept("uid").map_or_else(new_uid, String::from);
        let created = kept("creationTimestamp").map_or_else(|| timestamp(now()), String::from);
        let metadata = metadata(&mut object.value)?;
        metadata.insert("uid".into(), json!(uid));
        metadata.insert("creationTimestamp".into(), json!(created));
        if old.as_ref() == Some(&object.value) {
            return Ok("unchanged");
        }
        let file_name = file_name(object.kind, &object.namespace, &object.name);
        self.write_manifest(&file_name, &format!("{:#}\n", object.value))?;
        Ok(if old.is_some() { "configured" } else { "created" })
    }

    /// Writes a pod's manifest.
    pub(crate) fn write_pod_manifest(&self, pod: &Pod) -> Result<()> {
        let spec = &pod.spec;
        let mut metadata = json!({
            "name": spec.name, "namespace": spec.namespace, "uid": pod.uid,
            "creationTimestamp": timestamp(pod.created), "labels": spec.labels,
        });
        if let Some(deleted) = pod.deleted {
            metadata["deletionTimestamp"] = json!(timestamp(deleted));
        }
        let phase = if pod.result.is_some() { "Running" } else { "Pending" };
        let mut status = json!({ "phase": phase });
        if let Some(ip) = pod.ip {
            status["podIP"] = json!(ip);
            status["podIPs"] = json!([{ "ip": ip }]);
        }
        let mut runs = json!({ "nodeName": self.name() });
        let containers =
            [("containers", &spec.containers), ("initContainers", &spec.init_containers)];
        for (key, its) in containers.into_iter().filter(|(_, its)| !its.is_empty()) {
            runs[key] = json!(its);
        }
        let manifest = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": runs,
            "status": status,
        });
        let file_name = file_name(Kind::Pod, &spec.namespace, &spec.name);
        self.write_manifest(&file_name, &format!("{manifest:#}\n"))
    }
}
