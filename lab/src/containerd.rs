//! What containerd does with a pod: ADD, CHECK, DEL of each plugin in its order, and GC.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cni::{CniCall, text_of};
use crate::netconf::Network;
use crate::node::{CNI_CONF, Node};
use crate::out::warn;
use crate::pod::Pod;
use crate::run_pod_error::{NO_CONFIGURATION, RunPodError};
use crate::sandbox::Sandbox;

impl Node {
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
            self.call(&CniCall::of_node("GC", &plugin, &input))?;
        }
        Ok(())
    }

    pub(crate) fn network(&self) -> Result<Option<Network>> {
        Network::choose(&self.path(CNI_CONF))
    }

    /// ADD of each plugin; each gets the result of the one before it.
    pub(crate) fn add_pod(
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
            let call = pod_call("ADD", &plugin, pod, sandbox, &input);
            let failed = |error| RunPodError::Plugin { which: call.failed(), error };
            // No program and no JSON are the plugin's failures too: the pod is tried again.
            let unusable = |error| failed(json!({ "msg": format!("{error:#}") }));
            let output = self.cni(&call).map_err(unusable)?;
            if !output.success() {
                return Err(failed(output.error()));
            }
            if !output.stderr.is_empty() {
                warn(output.stderr.trim_end());
            }
            result = Some(output.json().map_err(unusable)?);
        }
        Ok(result.unwrap_or_default())
    }

    /// DEL of each plugin, in reverse order.
    pub(crate) fn del_pod(&self, pod: &Pod, sandbox: &Sandbox) -> Result<()> {
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
    pub(crate) fn call(&self, call: &CniCall) -> Result<()> {
        let output = self.cni(call).with_context(|| call.failed())?;
        ensure!(output.success(), "{}: {}", call.failed(), text_of(&output.error()));
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
    CniCall::of_node(command, plugin, input)
        .env("CNI_CONTAINERID", sandbox.id())
        .env("CNI_NETNS", sandbox.netns())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", args)
}
