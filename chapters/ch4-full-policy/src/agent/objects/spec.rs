//! What is read of a NetworkPolicy's `spec`.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::json::from_value;
use crate::api::Labels;

/// What a NetworkPolicy says, or why nobody can read it: one must not keep all others from being
/// listed. See [`Policy::parse`](crate::agent::policy::network_policy::Policy::parse).
#[derive(Debug, Clone)]
pub struct Spec(pub Result<NetworkPolicySpec, String>);

impl Default for Spec {
    fn default() -> Self {
        Self(Ok(NetworkPolicySpec::default()))
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec: Result<Option<_>, _> = from_value(Value::deserialize(deserializer)?, "spec");
        Ok(Self(spec.map(Option::unwrap_or_default)))
    }
}

/// What a NetworkPolicy says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// The pods that it isolates; missing is as good as empty: all of its namespace.
    pub pod_selector: Option<LabelSelector>,
    /// In which directions; empty: see [`Policy`](crate::agent::policy::network_policy::Policy).
    pub policy_types: Option<Vec<String>>,
    /// Who may come in.
    pub ingress: Option<Vec<IngressRule>>,
    /// Where they may go.
    pub egress: Option<Vec<EgressRule>>,
    /// What later versions of Kubernetes may add, and we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Who may come in, by which ports.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IngressRule {
    /// All that one of these describes; none: everybody.
    pub from: Option<Vec<Peer>>,
    /// By which ports of the policy's pods; none: all.
    pub ports: Option<Vec<PolicyPort>>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Where they may go, by which ports.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct EgressRule {
    /// All that one of these describes; none: everywhere.
    pub to: Option<Vec<Peer>>,
    /// By which ports of where they go; none: all.
    pub ports: Option<Vec<PolicyPort>>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The other end: pods by labels, or addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Pods with these labels.
    pub pod_selector: Option<LabelSelector>,
    /// In namespaces with these labels.
    pub namespace_selector: Option<LabelSelector>,
    /// Or what has one of these addresses.
    pub ip_block: Option<IpBlock>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Addresses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IpBlock {
    /// All of these.
    pub cidr: String,
    /// But these.
    pub except: Option<Vec<String>>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Ports of one protocol.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPort {
    /// A number, or a name of the target's; none: all.
    pub port: Option<IntOrString>,
    /// With it all numbers from `port` to here.
    pub end_port: Option<i32>,
    /// `TCP`, `UDP`, `SCTP`; none: `TCP`.
    pub protocol: Option<String>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A question about labels; all parts must be true.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Label and value.
    pub match_labels: Option<Labels>,
    /// Label, operator and values.
    pub match_expressions: Option<Vec<Expression>>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// One condition on one label.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`. A text, since one unknown word must not make the
    /// whole list of policies unreadable.
    pub operator: String,
    /// For the first two. There may be many, and all copies of a policy share them.
    pub values: Option<Arc<BTreeSet<String>>>,
    /// What we do not understand.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}
