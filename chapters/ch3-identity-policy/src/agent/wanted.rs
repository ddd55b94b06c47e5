//! What the maps should hold: a function of the objects and of this node's endpoints, computed
//! anew whenever anything changes. No decision rests on a single event, so none can be missed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;

use super::directory::Directory;
use super::identity::{self, Identities};
use super::local::Local;
use super::objects::{Namespace, NetworkPolicy, Pod};
use super::policy::Policy;
use super::verdicts::Verdicts;
use crate::api::{EndpointStatus, SecurityLabels};
use crate::maps::{self, Endpoint, PolicyKey};

/// The objects as a source knows them.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// All pods of the cluster.
    pub pods: Vec<Arc<Pod>>,
    /// All namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// All policies.
    pub policies: Vec<Arc<NetworkPolicy>>,
    /// What of the source cannot be read.
    pub problems: BTreeSet<String>,
    /// Of the manifests, if they are the source.
    pub revision: u64,
}

/// What the maps should hold, and what is told of it.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `endpoint_map`.
    pub endpoints: BTreeMap<Ipv4Addr, Endpoint>,
    /// `policy_map`'s keys; every entry allows.
    pub policy: BTreeSet<PolicyKey>,
    /// This node's endpoints that are in it.
    pub status: Vec<EndpointStatus>,
    /// Which pod has an address, as `namespace/name`, and its identity.
    pub pods: BTreeMap<Ipv4Addr, (String, u32)>,
    /// The identities in use.
    pub labels: BTreeMap<u32, SecurityLabels>,
    /// The policies as they are enforced.
    pub policies: Vec<Policy>,
    /// What is not enforced, or could not be published.
    pub problems: BTreeSet<String>,
}

/// Computes the wanted maps. Identities are drawn, and labels that are news are written down.
pub fn wanted(
    objects: &Objects,
    node: &str,
    local: &mut Local,
    identities: &mut Identities,
) -> Result<Wanted> {
    let mut policies: Vec<Policy> = objects.policies.iter().map(|it| read(it)).collect();
    policies.sort_by_cached_key(Policy::full_name); // the stores have no order
    let asked: BTreeSet<&str> = policies.iter().flat_map(Policy::keys).collect();
    let labels = Directory::new(objects);
    let mut wanted = Wanted { problems: objects.problems.clone(), ..Wanted::default() };
    for policy in &policies {
        let say = |what| format!("policy {} is not enforced: {what}", policy.full_name());
        wanted.problems.extend(policy.not_enforced.iter().map(say));
    }

    // Who is where, and by which identity.
    for (link, found) in local.iter().map(|it| (it.link.clone(), labels.of(it))).collect::<Vec<_>>()
    {
        if let Some(labels) = found {
            local.set_labels(&link, &labels)?;
        }
    }
    let mut used: BTreeMap<u32, SecurityLabels> = BTreeMap::new();
    let mut identity_of = |labels: &SecurityLabels| {
        let labels =
            SecurityLabels { labels: identity::relevant(&labels.labels, &asked), ..labels.clone() };
        let id = identities.get(&labels)?;
        used.entry(id).or_insert(labels);
        Some(id)
    };
    let mut pods = Vec::new();
    for (address, pod) in remote_pods(objects, node) {
        let Some(known) = labels.of_pod(pod) else { continue };
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        match identity_of(&known) {
            Some(identity) => {
                let (generation, mac) = (maps::generation(uid), [0; 6]);
                let entry = Endpoint { identity, generation, mac, ..Endpoint::default() };
                pods.push((address, full_name(pod), entry, None));
            }
            None => wanted.problems.extend(no_identity(uid)),
        }
    }
    for local in local.iter() {
        let Some(known) = &local.labels else { continue };
        match identity_of(known) {
            Some(identity) => {
                let generation = maps::generation(&local.link);
                let (ifindex, mac) = (local.new.ifindex, local.new.mac);
                let entry = Endpoint { identity, ifindex, generation, id: local.id, flags: 0, mac };
                pods.push((local.new.address, local.name(), entry, Some(local)));
            }
            None => wanted.problems.extend(no_identity(&local.link)),
        }
    }

    let verdicts = Verdicts::new(&policies, &used);
    wanted.policy = verdicts.allowed();
    let flags: BTreeMap<_, _> = used.iter().map(|(id, it)| (*id, verdicts.flags(it))).collect();
    for (address, name, entry, local) in pods {
        let entry = Endpoint { flags: flags[&entry.identity], ..entry };
        if let Some(local) = local {
            let labels = &used[&entry.identity];
            wanted.status.push(verdicts.status(local, entry.identity, labels));
        }
        wanted.endpoints.insert(address, entry);
        wanted.pods.insert(address, (name, entry.identity));
    }
    wanted.status.sort_by_key(|status| status.id);
    Ok(Wanted { labels: used, policies, ..wanted })
}

fn full_name(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

fn no_identity(whose: &str) -> Option<String> {
    Some(format!("{whose} has no network: all identities are taken, by different labels"))
}

fn read(policy: &NetworkPolicy) -> Policy {
    Policy::parse(policy).unwrap_or_else(|error| Policy::unreadable(policy, &error))
}

/// Pods of other nodes with their addresses. Of two with one address, which the API may show for
/// a while, the younger has it.
fn remote_pods<'a>(objects: &'a Objects, node: &str) -> BTreeMap<Ipv4Addr, &'a Pod> {
    let age = |pod: &Pod| {
        let metadata = &pod.metadata;
        (metadata.deletion_timestamp.is_none(), metadata.creation_timestamp.clone())
    };
    let mut pods: BTreeMap<Ipv4Addr, &Pod> = BTreeMap::new();
    for pod in &objects.pods {
        let there = pod.spec.node_name.as_deref();
        if pod.is_host() || there.is_none() || there == Some(node) {
            continue;
        }
        for address in pod.addresses() {
            let other = pods.entry(address).or_insert(pod);
            if age(pod) > age(other) {
                *other = pod;
            }
        }
    }
    pods
}
