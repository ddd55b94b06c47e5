//! What is read of Kubernetes' objects, and no more: a Pod as the API server sends it is a
//! hundred times larger.

use std::net::Ipv4Addr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use super::spec::Spec;
use crate::agent::policy::ports::protocol;
use crate::api::NamedPort;

/// A Pod.
#[derive(Debug, Clone, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub struct Pod {
    /// Name, namespace, uid, labels.
    pub metadata: ObjectMeta,
    /// Where it runs.
    #[serde(default)]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(default)]
    pub status: PodStatus,
}

/// Where a Pod runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The node, once there is one.
    pub node_name: Option<String>,
    /// It has no network of its own: its packets are the node's.
    pub host_network: Option<bool>,
    /// What runs in it.
    pub containers: Option<Vec<Container>>,
    /// What runs before those; with `restartPolicy: Always` beside them.
    pub init_containers: Option<Vec<Container>>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its ports.
    pub ports: Option<Vec<ContainerPort>>,
    /// Of an init container: `Always` makes it a sidecar.
    pub restart_policy: Option<String>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// What policies may call it.
    pub name: Option<String>,
    /// Its number.
    pub container_port: u16,
    /// `TCP`, `UDP`, `SCTP`; none: `TCP`.
    pub protocol: Option<String>,
}

/// What became of a Pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Option<String>,
    /// Its addresses, once there are any.
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<PodIp>>,
}

/// One address of a Pod.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodIp {
    /// IPv4 or IPv6.
    pub ip: String,
}

/// A Namespace.
#[derive(Debug, Clone, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Namespace)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: ObjectMeta,
}

/// A NetworkPolicy.
#[derive(Debug, Clone, Default, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::networking::v1::NetworkPolicy)]
pub struct NetworkPolicy {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(default)]
    pub spec: Spec,
}

/// What a static pod's mirror in the API says of its uid on the node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Forgets what nobody here asks about: with ten thousand pods it is most of the agent's memory.
pub fn trim(metadata: &mut ObjectMeta) {
    let mut whole = std::mem::take(metadata);
    let mirror =
        whole.annotations.as_mut().and_then(|annotations| annotations.remove_entry(MIRROR));
    *metadata = ObjectMeta {
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        labels: whole.labels,
        annotations: mirror.map(|annotation| [annotation].into()),
        creation_timestamp: whole.creation_timestamp,
        deletion_timestamp: whole.deletion_timestamp,
        ..ObjectMeta::default()
    };
}

impl Pod {
    /// A Pod of the host's network is the host, not an endpoint.
    pub fn is_host(&self) -> bool {
        self.spec.host_network == Some(true)
    }

    /// Its IPv4 addresses, while they are its own: a Pod that has ended has given them back,
    /// one that is being deleted still has them.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let ended = matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let ips = self.status.pod_ips.iter().flatten().filter(move |_| !ended);
        ips.filter_map(|address| address.ip.parse().ok())
    }

    // #region names
    /// What its containers call their ports, those of sidecars too.
    pub fn named_ports(&self) -> impl Iterator<Item = NamedPort> {
        let is_sidecar =
            |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let sidecars = self.spec.init_containers.iter().flatten().filter(is_sidecar);
        let containers = self.spec.containers.iter().flatten().chain(sidecars);
        containers.flat_map(|container| container.ports.iter().flatten()).filter_map(|port| {
            let protocol = protocol(port.protocol.as_deref().unwrap_or("TCP"))?;
            Some(NamedPort { name: port.name.clone()?, protocol, number: port.container_port })
        })
    }
    // #endregion names

    /// Is it the pod that a runtime calls by this uid? A static pod has another uid in the API
    /// than on its node, which says its own in an annotation.
    pub fn has_uid(&self, uid: &str) -> bool {
        let mirror =
            self.metadata.annotations.as_ref().and_then(|annotations| annotations.get(MIRROR));
        self.metadata.uid.as_deref() == Some(uid) || mirror.is_some_and(|its_own| its_own == uid)
    }
}
