//! What is read of Kubernetes' objects, and no more: a Pod as the API server sends it is a
//! hundred times larger.

use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::spec::Spec;

/// `namespace/name`, or a namespace's name alone: many hold it, and it is there once.
pub type Name = Arc<str>;

/// The kinds of objects that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of all nodes.
    Pod,
    /// With its labels.
    Namespace,
    /// Understood or not.
    NetworkPolicy,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which kind.
    pub kind: Kind,
    /// A namespace is in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

impl Key {
    /// The key of an object of this kind.
    pub fn new(kind: Kind, metadata: &ObjectMeta) -> Self {
        Self { kind, namespace: metadata.namespace.clone(), name: metadata.name.clone() }
    }

    /// `namespace/name`, or the name of what is in no namespace.
    pub fn full_name(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.into(),
        }
    }
}

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
    #[serde(default)]
    pub host_network: Option<bool>,
}

/// What became of a Pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Option<String>,
    /// Its addresses, once there are any.
    #[serde(rename = "podIPs", default)]
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

/// Reads a part of an object. An error begins with the field's path.
pub fn read<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string() {
        path if path == "." => format!("{at}: {}", error.inner()),
        path if at.is_empty() => format!("{path}: {}", error.inner()),
        path => format!("{at}.{path}: {}", error.inner()),
    })
}

/// What a static pod's mirror in the API says of its uid on the node.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Forgets what nobody here asks about: with ten thousand pods it is most of the agent's memory.
pub fn trim(metadata: &mut ObjectMeta) {
    let mut whole = std::mem::take(metadata);
    let mirror = whole.annotations.as_mut().and_then(|it| it.remove_entry(MIRROR));
    *metadata = ObjectMeta {
        name: whole.name,
        namespace: whole.namespace,
        uid: whole.uid,
        labels: whole.labels,
        annotations: mirror.map(|it| [it].into()),
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
        ips.filter_map(|it| it.ip.parse().ok())
    }

    /// Is it the pod that a runtime calls by this uid? A static pod has another uid in the API
    /// than on its node, which says its own in an annotation.
    pub fn has_uid(&self, uid: &str) -> bool {
        let mirror = self.metadata.annotations.as_ref().and_then(|it| it.get(MIRROR));
        self.metadata.uid.as_deref() == Some(uid) || mirror.is_some_and(|it| it == uid)
    }
}
