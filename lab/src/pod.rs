//! Pods as the node knows them: what was asked for, and what became of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;
use crate::node::{Node, output_of};
use crate::object::{file_name, new_uid, now};
use crate::sandbox::Sandbox;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its containers as its manifest has them. Nothing runs in them, but policies may ask what they
    /// call their ports.
    #[serde(default)]
    pub containers: Vec<Value>,
    /// Those that run before, or beside them.
    #[serde(default)]
    pub init_containers: Vec<Value>,
}

impl PodSpec {
    /// A pod in namespace `default` without labels.
    pub fn new(name: impl Into<String>) -> Self {
        let (labels, containers, init_containers) = Default::default();
        Self { name: name.into(), namespace: "default".into(), labels, containers, init_containers }
    }

    /// In another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// With one label more.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }
}

/// Where a pod is in its life, as `kubectl get pods` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The node is not ready for it.
    Pending,
    /// ADD failed; it is tried again.
    ContainerCreating,
    /// It has its network.
    Running,
    /// It is being removed; if DEL failed, it is tried again.
    Terminating,
}

/// A pod of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: PodSpec,
    /// `K8S_POD_UID`.
    pub uid: String,
    /// Pending, Running, …
    pub phase: Phase,
    /// Why it is not Running, in the runtime's words.
    pub message: String,
    /// Its namespace, once there is one.
    pub sandbox: Option<Sandbox>,
    /// What ADD answered.
    pub result: Option<Value>,
    /// The first address of the result.
    pub ip: Option<Ipv4Addr>,
    /// Seconds since 1970.
    pub created: u64,
    /// When its removal began, if it has.
    pub deleted: Option<u64>,
}

impl Pod {
    pub(crate) fn new(spec: PodSpec) -> Self {
        let (phase, message, created) = (Phase::Pending, String::new(), now());
        Self {
            spec,
            uid: new_uid(),
            phase,
            message,
            sandbox: None,
            result: None,
            ip: None,
            created,
            deleted: None,
        }
    }

    /// A command that will run in the pod's network. An error if it has none yet.
    pub fn command(&self, node: &Node, program: &str) -> Result<Command> {
        match &self.sandbox {
            Some(sandbox) => sandbox.command(node, program),
            None => bail!("pod {} is {:?}: it has no network yet", self.spec.name, self.phase),
        }
    }

    /// Runs a command in the pod and returns its stdout; its failure is an error.
    pub fn run(&self, node: &Node, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().context("no command given")?;
        output_of(self.command(node, program)?.args(args))
    }
}

fn file(namespace: &str, name: &str) -> String {
    format!("/run/lab/pods/{namespace}_{name}")
}

impl Node {
    /// All pods, by namespace and name.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let mut pods: Vec<Pod> = Vec::new();
        for entry in fs::read_dir(self.path("/run/lab/pods")).context("cannot list the pods")? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue; // a temporary file of write_by_rename
            }
            match fs::read(entry.path()) {
                Ok(text) => pods.push(serde_json::from_slice(&text)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // removed just now
                Err(error) => return Err(error).context("cannot read a pod"),
            }
        }
        pods.sort_by(|a, b| {
            (&a.spec.namespace, &a.spec.name).cmp(&(&b.spec.namespace, &b.spec.name))
        });
        Ok(pods)
    }

    /// One pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Pod> {
        let text = fs::read(self.path(file(namespace, name)));
        let text =
            text.map_err(|_| anyhow::anyhow!("pods {name:?} not found in namespace {namespace}"))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Saves what became of a pod. Its labels are as `label` left them, perhaps during its ADD.
    pub(crate) fn save_pod(&self, pod: &mut Pod) -> Result<()> {
        let _lock = self.lock_manifests()?;
        if let Ok(stored) = self.pod(&pod.spec.namespace, &pod.spec.name) {
            pod.spec.labels = stored.spec.labels;
        }
        self.write_pod(pod)
    }

    /// The pod and its manifest. Whatever kills us between the two, `sync` does it again.
    pub(crate) fn write_pod(&self, pod: &Pod) -> Result<()> {
        let json = serde_json::to_vec(pod)?;
        self.write_by_rename(&file(&pod.spec.namespace, &pod.spec.name), &json)?;
        self.write_pod_manifest(pod)
    }

    /// The manifest first: a pod that is still written down is removed again.
    pub(crate) fn forget_pod(&self, pod: &Pod) -> Result<()> {
        let _lock = self.lock_manifests()?; // who labels it now does not bring it back
        self.remove_manifest(&file_name(Kind::Pod, &pod.spec.namespace, &pod.spec.name))?;
        let path = self.path(file(&pod.spec.namespace, &pod.spec.name));
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }
}
