//! What the agent shows of itself: a copy that the engine makes whenever it has changed the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::changes::Changes;
use super::wanted::Wanted;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::Identities;
use crate::agent::owners::local::{Local, LocalEndpoint};
use crate::agent::policy::network_policy::Policy;
use crate::api::SecurityLabels;

/// All that can be asked about. Who reads it, or copies it, takes no longer than that: the engine
/// waits meanwhile, and so does everybody behind it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The endpoints of this node that have an identity, by link.
    pub endpoints: BTreeMap<Name, (LocalEndpoint, u32)>,
    /// What identities stand for, and whether they are in use.
    pub identities: BTreeMap<u32, (Arc<SecurityLabels>, bool)>,
    /// What is not as it should be.
    pub problems: BTreeSet<String>,
    /// The kernel does what is wanted, as far as we know: maps and filters are as they should be.
    pub is_sound: bool,
    /// What is wrong with the filters of an endpoint, by link.
    pub unprotected: BTreeMap<Name, String>,
    /// Which pod has an address, of this node or another, and its identity.
    pub pods: BTreeMap<Ipv4Addr, (Name, u32)>,
    /// The policies in force.
    pub policies: BTreeMap<Name, Arc<Policy>>,
    /// Of the manifests that the maps follow.
    pub revision: u64,
    /// How many entries `endpoint_map` and `policy_map` have.
    pub sizes: [usize; 2],
}

impl View {
    /// Takes in what is another.
    pub fn learn(
        &mut self,
        changes: &Changes,
        wanted: &Wanted,
        local: &Local,
        identities: &Identities,
    ) {
        for name in &wanted.news.policies {
            set(&mut self.policies, name, wanted.verdicts.policy(name).cloned());
        }
        for id in &wanted.news.identities {
            let in_use = wanted.verdicts.labels(*id).is_some();
            let labels = identities.labels(*id).map(|labels| (labels.clone(), in_use));
            set(&mut self.identities, id, labels);
        }
        for link in &wanted.news.links {
            let identity =
                wanted.claims.owners.get(link).and_then(|it| it.endpoint).map(|it| it.identity);
            set(&mut self.endpoints, link, local.get(link).cloned().zip(identity));
        }
        for address in &changes.endpoints {
            let owner = wanted.claims.owners.owner(*address).map(|claimant| claimant.pod.clone());
            let identity = wanted.endpoints.get(address).map(|endpoint| endpoint.identity);
            set(&mut self.pods, address, owner.zip(identity));
        }
    }
}

fn set<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}
