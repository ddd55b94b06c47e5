//! What kubelet does: is the node Ready, run and remove pods, and try again what failed.

use anyhow::Result;

use crate::cni::CniCall;
use crate::node::Node;
use crate::object::now;
use crate::out::warn;
use crate::pod::{Phase, Pod, PodSpec};
use crate::run_pod_error::{NO_CONFIGURATION, RunPodError};

/// The node's `Ready` condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeStatus {
    /// Pods can be run.
    Ready,
    /// They cannot; in kubelet's words.
    NotReady(String),
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
                if let Err(error) = self.call(&CniCall::of_node("STATUS", &plugin, &input)) {
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
