//! What kubelet does: is the node Ready, run and remove pods, and try again what failed.

use std::fmt;

use anyhow::Result;
use serde_json::Value;

use crate::containerd::{node_call, text_of};
use crate::node::Node;
use crate::out::warn;
use crate::pod::{Phase, Pod, PodSpec, now};

/// What kubelet says while the directory of configurations is empty.
pub(crate) const NO_CONFIGURATION: &str = "cni plugin not initialized";

/// The node's `Ready` condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeStatus {
    /// Pods can be run.
    Ready,
    /// They cannot; in kubelet's words.
    NotReady(String),
}

/// Why a pod does not run.
#[derive(Debug)]
pub enum RunPodError {
    /// The node is not ready, the pod is Pending.
    NotReady(String),
    /// A plugin's ADD failed. DEL was called, the sandbox is gone.
    Plugin {
        /// Which of them, in libcni's words.
        which: String,
        /// Its error result.
        error: Value,
    },
    /// The lab itself failed.
    Lab(anyhow::Error),
}

impl fmt::Display for RunPodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(message) => write!(f, "{message}"),
            Self::Plugin { which, error } => {
                write!(f, "failed to setup network for sandbox: {which}: {}", text_of(error))
            }
            Self::Lab(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for RunPodError {}

impl From<anyhow::Error> for RunPodError {
    fn from(error: anyhow::Error) -> Self {
        Self::Lab(error)
    }
}

impl Node {
    /// Ready if there is a configuration whose plugins, from 1.1.0 on, say so (STATUS).
    pub fn status(&self) -> Result<NodeStatus> {
        let not_ready = |message: String| {
            NodeStatus::NotReady(format!(
                "container runtime network not ready: NetworkReady=false \
                 reason:NetworkPluginNotReady message:Network plugin returns error: {message}"
            ))
        };
        let network = match self.network() {
            Ok(Some(network)) => network,
            Ok(None) => return Ok(not_ready(NO_CONFIGURATION.into())),
            Err(error) => return Ok(not_ready(format!("{error:#}"))),
        };
        if network.has_status_and_gc() {
            for (plugin, input) in network.inputs(&[]) {
                if let Err(error) = self.call(&node_call("STATUS", &plugin, &input)) {
                    return Ok(not_ready(format!("{error:#}")));
                }
            }
        }
        Ok(NodeStatus::Ready)
    }

    /// Runs a pod as kubelet and containerd do: sandbox, `lo`, ADD. After a failed ADD comes DEL.
    /// A namespace that is not there is made.
    pub fn run_pod(&self, spec: PodSpec) -> Result<Pod, RunPodError> {
        if self.pod(&spec.namespace, &spec.name).is_ok() {
            let message = format!("pods {:?} already exists", spec.name);
            return Err(anyhow::anyhow!(message).into());
        }
        self.ensure_namespace(&spec.namespace)?;
        let mut pod = Pod::new(spec);
        self.save_pod(&mut pod)?;
        self.start(&mut pod)?;
        Ok(pod)
    }

    /// Removes a pod: DEL with what ADD answered, then its namespace. If DEL fails, the pod
    /// stays as Terminating, and this may be called again.
    pub fn remove_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let mut pod = self.pod(namespace, name)?;
        pod.phase = Phase::Terminating;
        pod.deleted.get_or_insert_with(now);
        self.save_pod(&mut pod)?;
        if let Some(sandbox) = pod.sandbox.clone() {
            if let Err(error) = self.del_pod(&pod, &sandbox) {
                pod.message = format!("{error:#}");
                self.save_pod(&mut pod)?;
                return Err(error);
            }
            sandbox.remove(self)?;
        }
        self.forget_pod(&pod)
    }

    /// kubelet's loop, once: pods that do not run yet are tried again, each with a new sandbox.
    pub fn sync(&self) -> Result<()> {
        for mut pod in self.pods()? {
            match pod.phase {
                Phase::Pending | Phase::ContainerCreating => {
                    // It runs, or its message says why not.
                    if let Err(RunPodError::Lab(error)) = self.start(&mut pod) {
                        return Err(error);
                    }
                }
                // Its message says why it still does not go.
                Phase::Terminating => drop(self.remove_pod(&pod.spec.namespace, &pod.spec.name)),
                Phase::Running => {}
            }
        }
        Ok(())
    }

    /// Brings a pod up and saves what became of it.
    fn start(&self, pod: &mut Pod) -> Result<(), RunPodError> {
        let network = match self.network() {
            Ok(Some(network)) => network,
            Ok(None) => return self.failed(pod, RunPodError::NotReady(NO_CONFIGURATION.into())),
            Err(error) => return self.failed(pod, RunPodError::NotReady(format!("{error:#}"))),
        };
        if let Some(sandbox) = &pod.sandbox {
            // We were killed during its ADD. As with kubelet it goes, and a new one comes.
            if let Err(error) = self.del_pod(pod, sandbox) {
                return self.failed(pod, RunPodError::NotReady(format!("{error:#}")));
            }
            sandbox.remove(self)?;
        }
        let sandbox = self.sandbox()?;
        // Saved before ADD: if we are killed now, `remove_pod` still knows the container.
        pod.sandbox = Some(sandbox.clone());
        self.save_pod(pod)?;
        match self.add_pod(&network, pod, &sandbox) {
            Ok(result) => {
                let address = result["ips"][0]["address"].as_str().unwrap_or_default();
                pod.ip = address.split('/').next().and_then(|ip| ip.parse().ok());
                pod.phase = Phase::Running;
                pod.message.clear();
                pod.result = Some(result);
                Ok(self.save_pod(pod)?)
            }
            Err(error) => {
                if let Err(del) = self.del_pod(pod, &sandbox) {
                    warn(format_args!("lab: DEL after a failed ADD: {del:#}"));
                }
                sandbox.remove(self)?;
                pod.sandbox = None;
                self.failed(pod, error)
            }
        }
    }

    fn failed(&self, pod: &mut Pod, error: RunPodError) -> Result<(), RunPodError> {
        pod.phase = match error {
            RunPodError::NotReady(_) => Phase::Pending,
            _ => Phase::ContainerCreating,
        };
        pod.message = error.to_string();
        self.save_pod(pod)?;
        Err(error)
    }
}
