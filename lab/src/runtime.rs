//! What containerd and kubelet do with a pod: sandbox, ADD, CHECK, DEL, GC, and trying again.

use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cni::{CniCall, CniOutput};
use crate::netconf::Network;
use crate::node::{CNI_BIN, CNI_CONF, Node};
use crate::pod::{Phase, Pod, PodSpec};
use crate::sandbox::Sandbox;

/// What kubelet says while the directory of configurations is empty.
const NO_CONFIGURATION: &str = "cni plugin not initialized";

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
    /// A plugin's ADD failed: its error result. DEL was called, the sandbox is gone.
    Plugin(Value),
    /// The lab itself failed.
    Lab(anyhow::Error),
}

impl fmt::Display for RunPodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(message) => write!(f, "{message}"),
            Self::Plugin(error) => {
                write!(f, "failed to setup network for sandbox: {}", text_of(error))
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
    pub fn run_pod(&self, spec: PodSpec) -> Result<Pod, RunPodError> {
        if self.pod(&spec.namespace, &spec.name).is_ok() {
            let message = format!("pods {:?} already exists", spec.name);
            return Err(anyhow::anyhow!(message).into());
        }
        let mut pod = Pod::new(spec);
        self.save_pod(&pod)?;
        self.start(&mut pod)?;
        Ok(pod)
    }

    /// Removes a pod: DEL with what ADD answered, then its namespace. If DEL fails, the pod
    /// stays as Terminating, and this may be called again.
    pub fn remove_pod(&self, namespace: &str, name: &str) -> Result<()> {
        let mut pod = self.pod(namespace, name)?;
        if let Some(sandbox) = pod.sandbox.clone() {
            if let Err(error) = self.del_pod(&pod, &sandbox) {
                pod.phase = Phase::Terminating;
                pod.message = format!("{error:#}");
                self.save_pod(&pod)?;
                return Err(error);
            }
            sandbox.remove(self)?;
        }
        self.forget_pod(&pod)
    }

    /// CHECK with what ADD answered.
    pub fn check_pod(&self, pod: &Pod) -> Result<()> {
        let (network, result) = (self.network()?.context(NO_CONFIGURATION)?, pod.result.as_ref());
        let (Some(sandbox), Some(result)) = (&pod.sandbox, result) else {
            bail!("it has no network")
        };
        for (plugin, input) in network.inputs(&[("prevResult", result.clone())]) {
            self.call(&pod_call("CHECK", &plugin, pod, sandbox, &input))?;
        }
        Ok(())
    }

    /// GC, from 1.1.0 on, with the attachments of the pods that there are.
    pub fn gc(&self) -> Result<()> {
        let network = self.network()?.context(NO_CONFIGURATION)?;
        if !network.has_status_and_gc() {
            return Ok(());
        }
        let pods = self.pods()?;
        let sandboxes = pods.iter().filter_map(|pod| pod.sandbox.as_ref());
        let valid: Value =
            sandboxes.map(|it| json!({ "containerID": it.id(), "ifname": "eth0" })).collect();
        for (plugin, input) in network.inputs(&[("cni.dev/valid-attachments", valid)]) {
            self.call(&node_call("GC", &plugin, &input))?;
        }
        Ok(())
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

    fn network(&self) -> Result<Option<Network>> {
        Network::choose(&self.path(CNI_CONF))
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
                    eprintln!("lab: DEL after a failed ADD: {del:#}");
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

    /// ADD of each plugin; each gets the result of the one before it.
    fn add_pod(
        &self,
        network: &Network,
        pod: &Pod,
        sandbox: &Sandbox,
    ) -> Result<Value, RunPodError> {
        let mut result: Option<Value> = None;
        for (plugin, mut input) in network.inputs(&[]) {
            if let Some(result) = result {
                input["prevResult"] = result;
            }
            // No program and no JSON are the plugin's failures too: the pod is tried again.
            let failed = |error| {
                RunPodError::Plugin(json!({ "msg": plugin, "details": format!("{error:#}") }))
            };
            let call = pod_call("ADD", &plugin, pod, sandbox, &input);
            let output = self.cni(&call).map_err(failed)?;
            if !output.success() {
                return Err(RunPodError::Plugin(error_of(&output)));
            }
            if !output.stderr.is_empty() {
                eprint!("{}", output.stderr);
            }
            result = Some(output.json().map_err(failed)?);
        }
        Ok(result.unwrap_or_default())
    }

    /// DEL of each plugin, in reverse order.
    fn del_pod(&self, pod: &Pod, sandbox: &Sandbox) -> Result<()> {
        let network = self.network()?.context(NO_CONFIGURATION)?;
        let prev_result = pod.result.clone().map(|result| ("prevResult", result));
        let inputs = network.inputs(prev_result.as_slice());
        for (plugin, input) in inputs.iter().rev() {
            self.call(&pod_call("DEL", plugin, pod, sandbox, input))
                .context("failed to destroy network for sandbox")?;
        }
        Ok(())
    }

    /// A call that must succeed; its error is what the plugin said.
    fn call(&self, call: &CniCall) -> Result<()> {
        let output = self.cni(call)?;
        ensure!(output.success(), "{}", text_of(&error_of(&output)));
        Ok(())
    }
}

/// The environment that containerd gives for a pod.
fn pod_call(command: &str, plugin: &str, pod: &Pod, sandbox: &Sandbox, input: &Value) -> CniCall {
    let args = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        pod.spec.namespace,
        pod.spec.name,
        sandbox.id(),
        pod.uid
    );
    node_call(command, plugin, input)
        .env("CNI_CONTAINERID", sandbox.id())
        .env("CNI_NETNS", sandbox.netns())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", args)
}

fn node_call(command: &str, plugin: &str, input: &Value) -> CniCall {
    CniCall::new(command)
        .program(format!("{CNI_BIN}/{plugin}"))
        .env("CNI_PATH", CNI_BIN)
        .stdin(input.to_string())
}

/// The plugin's error result, or what it said instead of one.
fn error_of(output: &CniOutput) -> Value {
    let said = || {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        json!({ "msg": format!("plugin failed without an error result ({})", output.status),
                "details": format!("{stdout}{}", output.stderr) })
    };
    output.json().ok().filter(Value::is_object).unwrap_or_else(said)
}

/// An error result as a line.
fn text_of(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    format!("{}: {}", text("msg"), text("details"))
}
