//! The words between plugin and agent: HTTP with JSON bodies over a unix socket.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /v1/healthz` | the agent lives; 503 until it has all it must know, 500 if the kernel does not do what is wanted |
//! | `PUT /v1/endpoint/LINK` | a pod's veth is there: answers when the maps are ready for it |
//! | `DELETE /v1/endpoint/LINK` | it goes |
//! | `GET /v1/endpoint`, `GET /v1/endpoint/LINK` | who is here |
//! | `GET /v1/identity` | which labels have which number |
//! | `GET /v1/manifests` | which manifests have been read, and whether the maps follow them |
//! | `GET /v1/explain?from=POD&to=POD&port=PORT&protocol=PROTO` | what policies and maps say of a connection |
//! | `GET /v1/service/ADDRESS` | which Service has it, and what is behind each port |
//! | `GET /v1/monitor` | drops and new connections, a line each, as they come |
//! | `GET /metrics` | for Prometheus |
//!
//! LINK is the name of the veth's host end: a hash of container *and* interface, so a DEL that
//! comes late is not taken for its successor's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Where the agent listens.
pub const SOCKET: &str = "/run/ebpfcni/agent.sock";

/// Is it a LINK, as [`Attachment::host_link`](crate::args::Attachment::host_link) makes them? It
/// becomes a file's name: no other may.
pub fn is_host_link(name: &str) -> bool {
    let digits = name.strip_prefix("veth").unwrap_or_default();
    digits.len() == 11 && digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// A pod's labels, or a namespace's.
pub type Labels = BTreeMap<String, String>;

/// The body of PUT: all that the plugin knows of a pod. The labels come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEndpoint {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// The pod, if Kubernetes is calling.
    pub pod: Option<PodRef>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The interface index of the veth's host end.
    pub ifindex: u32,
}

/// Which pod: the uid differs from that of an earlier pod of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `K8S_POD_UID`; runtimes before containerd 1.6 do not say it.
    pub uid: Option<String>,
}

/// An endpoint as the agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// A small number for people.
    pub id: u32,
    /// The veth's host end.
    pub link: String,
    /// What the plugin said.
    #[serde(flatten)]
    pub new: NewEndpoint,
    /// The number that stands for its labels.
    pub identity: u32,
    /// The labels as the identity has them.
    pub labels: SecurityLabels,
    /// Policies that isolate it for ingress, as `namespace/name`; none: all may come in.
    pub ingress: Vec<String>,
    /// Policies that isolate it for egress; none: it may go anywhere.
    pub egress: Vec<String>,
    /// The rules that allow something.
    pub rules: Vec<RuleStatus>,
    /// Why the kernel does not enforce any of it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A rule that is in force for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// The policy that it is derived from, as `namespace/name`.
    pub policy: String,
    /// Where it stands in there.
    pub at: String,
    /// `Egress` or `Ingress`.
    pub direction: String,
    /// Where to or whom it allows, in words.
    pub peers: String,
    /// By which ports.
    pub ports: String,
    /// Is it about pods, by their labels?
    pub is_selector: bool,
    /// Whom that is at the moment.
    pub identities: Vec<u32>,
}

/// What an identity stands for: all that a policy can ask about a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecurityLabels {
    /// The namespace's name.
    pub namespace: String,
    /// The namespace's labels.
    pub namespace_labels: Labels,
    /// The pod's labels.
    pub labels: Labels,
    /// What its containers call their ports: the names that some policy asks for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<NamedPort>,
}

/// A port that a container has a name for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// The IP protocol's number.
    pub protocol: u8,
    /// The port.
    pub number: u16,
}

/// An identity as the agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// Its number.
    pub id: u32,
    /// What it stands for.
    pub labels: SecurityLabels,
    /// Whether some endpoint has it; else it is kept until nothing can carry it any more.
    pub in_use: bool,
}

/// The body of an answer that says no.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, and what to do.
    pub error: String,
}
