//! Who claims addresses: a pod of another node in the API, an endpoint of this node by what the
//! plugin said.

use std::net::Ipv4Addr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::local::LocalEndpoint;
use crate::agent::objects::key::Name;
use crate::agent::objects::kinds::Pod;
use crate::maps::{self, Endpoint};

/// Who claims addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The pod as `namespace/name`, or the link of an endpoint that is none.
    pub pod: Name,
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// Who has an address that several claim: the highest.
    pub rank: Rank,
    /// What is in the map for it, but for the flags; `None`: it has no identity.
    pub endpoint: Option<Endpoint>,
}

/// An endpoint of this node is here for certain; of pods of other nodes the youngest is it, since
/// the API may show one for a while that has given its address back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Of this node.
    pub is_local: bool,
    /// Not being deleted.
    pub is_live: bool,
    /// When it was made.
    pub created: Option<Time>,
}

impl Claimant {
    /// A pod of another node, while it has addresses of its own.
    pub fn of_pod(name: &Name, pod: &Pod, node: &str) -> Option<Self> {
        let is_there = pod.spec.node_name.as_deref().is_some_and(|its_node| its_node != node);
        let metadata = &pod.metadata;
        let rank = Rank {
            is_local: false,
            is_live: metadata.deletion_timestamp.is_none(),
            created: metadata.creation_timestamp.clone(),
        };
        let generation = maps::generation(metadata.uid.as_deref().unwrap_or_default());
        let endpoint = Endpoint { generation, ..Endpoint::default() };
        let addresses: Vec<_> = pod.addresses().collect();
        (is_there && !pod.is_host() && !addresses.is_empty()).then(|| Self {
            pod: name.clone(),
            addresses,
            rank,
            endpoint: Some(endpoint),
        })
    }

    /// An endpoint of this node.
    pub fn of_endpoint(local: &LocalEndpoint) -> Self {
        let (ifindex, mac) = (local.new.ifindex, local.new.mac);
        let generation = maps::generation(&local.link);
        Self {
            pod: local.name().into(),
            addresses: vec![local.new.address],
            rank: Rank { is_local: true, is_live: true, created: None },
            endpoint: Some(Endpoint {
                ifindex,
                generation,
                id: local.id,
                mac,
                ..Endpoint::default()
            }),
        }
    }

    /// The same with an identity, or (`None`) without one.
    pub fn with_identity(self, identity: Option<u32>) -> Self {
        let endpoint = self.endpoint.zip(identity);
        let endpoint = endpoint.map(|(endpoint, identity)| Endpoint { identity, ..endpoint });
        Self { endpoint, ..self }
    }
}
