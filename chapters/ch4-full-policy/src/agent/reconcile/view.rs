//! What the agent shows of itself: a copy that the engine makes whenever it has changed the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::changes::Changes;
use super::wanted::Wanted;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::Identities;
use crate::agent::owners::local::{LocalEndpoint, LocalEndpoints};
use crate::agent::policy::network_policy::Policy;
use crate::api::SecurityLabels;

/// All that can be asked about. A reader holds it no longer than it takes to read or copy: the engine
/// waits meanwhile, and so does everybody behind it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The endpoints of this node that have an identity, by link.
    pub endpoints: BTreeMap<Name, EndpointView>,
    /// What identities stand for, and whether they are in use.
    pub identities: BTreeMap<u32, IdentityView>,
    /// What is not as it should be.
    pub problems: BTreeSet<String>,
    /// The kernel does what is wanted, as far as we know: maps and filters are as they should be.
    pub is_sound: bool,
    /// What is wrong with the filters of an endpoint, by link.
    pub unprotected: BTreeMap<Name, String>,
    /// Which pod has an address, of this node or another, and its identity.
    pub pods: BTreeMap<Ipv4Addr, PodView>,
    /// The policies in force.
    pub policies: BTreeMap<Name, Arc<Policy>>,
    /// Of the manifests that the maps follow.
    pub revision: u64,
    /// How many entries `endpoint_map` and `policy_map` have.
    pub sizes: [usize; 2],
}

/// An endpoint of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// What is known of it.
    pub local: LocalEndpoint,
    /// Its identity.
    pub identity: u32,
}

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityView {
    /// What it stands for.
    pub labels: Arc<SecurityLabels>,
    /// Whether some address has it.
    pub in_use: bool,
}

/// A pod, by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// As `namespace/name`.
    pub name: Name,
    /// Its identity.
    pub identity: u32,
}

impl View {
    /// Takes in what is another.
    pub fn learn(
        &mut self,
        changes: &Changes,
        wanted: &Wanted,
        local: &LocalEndpoints,
        identities: &Identities,
    ) {
        for name in &wanted.for_view.policies {
            set(&mut self.policies, name, wanted.verdicts.policy(name).cloned());
        }
        for id in &wanted.for_view.identities {
            let in_use = wanted.verdicts.labels(*id).is_some();
            let labels = identities.labels(*id).cloned();
            let identity = labels.map(|labels| IdentityView { labels, in_use });
            set(&mut self.identities, id, identity);
        }
        for link in &wanted.for_view.links {
            let claimant = wanted.claims.owners.get(link);
            let identity = claimant.and_then(|claimant| Some(claimant.endpoint?.identity));
            let endpoint = local.get(link).cloned().zip(identity);
            let endpoint = endpoint.map(|(local, identity)| EndpointView { local, identity });
            set(&mut self.endpoints, link, endpoint);
        }
        for address in &changes.endpoints {
            let owner = wanted.claims.owners.owner(*address).map(|claimant| claimant.pod.clone());
            let identity = wanted.endpoints.get(address).map(|endpoint| endpoint.identity);
            let pod = owner.zip(identity).map(|(name, identity)| PodView { name, identity });
            set(&mut self.pods, address, pod);
        }
    }
}

fn set<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}
