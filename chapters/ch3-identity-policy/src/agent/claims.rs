//! Who has an address, and by which identity. Each pod and each endpoint is looked at when
//! something of it is another, and at no other time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound::{Included, Unbounded};

use super::claimant::Claimant;
use super::directory::Directory;
use super::identity::{Identities, relevant};
use super::local::Local;
use super::objects::{Name, Pod};
use crate::api::SecurityLabels;

/// All claims; a claimant's key is a pod's `namespace/name`, or an endpoint's link.
#[derive(Debug, Default)]
pub struct Claims {
    node: String,
    claimants: BTreeMap<Name, Claimant>,
    by_address: BTreeSet<(Ipv4Addr, Name)>,
    /// Labels that count only since a policy asks about them.
    asked: BTreeSet<String>,
    /// Whom something keeps from being as it should be, and what: it is tried again each time.
    failed: BTreeMap<Name, String>,
    /// Why the identities cannot be written down.
    unsaved: Option<String>,
    changed: Changed,
}

/// What may be another since somebody asked last.
#[derive(Debug, Default)]
pub struct Changed {
    /// Who has them.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// Of this node.
    pub links: BTreeSet<Name>,
}

impl Claims {
    /// None yet, on this node.
    pub fn new(node: String) -> Self {
        Self { node, ..Self::default() }
    }

    /// Works in what is another. Identities are drawn, and what must outlive the agent is written
    /// down before anybody has it.
    pub fn update(
        &mut self,
        directory: &mut Directory,
        local: &mut Local,
        identities: &mut Identities,
        asked: BTreeSet<String>,
    ) {
        let touched = self.touched(directory, local, asked);
        let look = |key| (self.look_at(&key, directory, local, identities), key);
        let found: Vec<_> = touched.into_iter().map(look).collect();
        self.unsaved = identities.save_new().err().map(|error| format!("{error:#}"));
        for (claim, key) in found {
            let claim = claim.map(|(claimant, id)| {
                let saved = id.filter(|id| identities.is_saved(*id));
                if saved != id
                    && let Some(why) = self.unsaved.clone()
                {
                    self.keep_out(&key, &claimant.pod, &why);
                }
                claimant.with_identity(saved)
            });
            self.set(&key, claim);
            self.changed.links.extend(local.get(&key).map(|_| key));
        }
    }

    /// Whose labels, addresses or identity may be others.
    fn touched(
        &mut self,
        directory: &mut Directory,
        local: &mut Local,
        asked: BTreeSet<String>,
    ) -> BTreeSet<Name> {
        let mut touched: BTreeSet<_> = self.failed.keys().cloned().collect();
        self.changed.links = local.take_changed(); // also those that are gone
        touched.extend(self.changed.links.iter().cloned());
        touched.append(&mut directory.pods.take_changed());
        for namespace in directory.namespaces.take_changed() {
            touched.extend(directory.pods.of_namespace(&namespace).map(|(pod, _)| pod.clone()));
        }
        let keys: Vec<_> = self.asked.symmetric_difference(&asked).collect();
        if !keys.is_empty() {
            let labels = |pod: &Pod| pod.metadata.labels.clone().unwrap_or_default();
            let has_one = |pod: &Pod| keys.iter().any(|key| labels(pod).contains_key(*key));
            let pods = directory.pods.iter().filter(|(_, pod)| has_one(pod));
            touched.extend(pods.map(|(name, _)| name.clone()));
            touched.extend(local.iter().map(|(link, _)| link.clone()));
        }
        self.asked = asked;
        let links: Vec<_> = touched.iter().flat_map(|pod| local.of_pod(pod)).cloned().collect();
        touched.extend(links);
        touched
    }

    /// What a pod or an endpoint claims now, and its identity's number.
    fn look_at(
        &mut self,
        key: &Name,
        directory: &Directory,
        local: &mut Local,
        identities: &mut Identities,
    ) -> Option<(Claimant, Option<u32>)> {
        self.failed.remove(key);
        let (claimant, labels) = match local.get(key).map(Claimant::of_endpoint) {
            Some(claimant) => (claimant, self.labels_of_endpoint(key, directory, local)),
            None => {
                let pod = directory.pods.get(key)?;
                (Claimant::of_pod(key, pod, &self.node)?, directory.labels_of(pod))
            }
        };
        let Some(labels) = labels else { return Some((claimant, None)) };
        let counting = relevant(labels.labels, &self.asked);
        let id = identities.get(&SecurityLabels { labels: counting, ..labels });
        if id.is_none() {
            self.keep_out(key, &claimant.pod, "all identities are taken, by different labels");
        }
        Some((claimant, id))
    }

    /// An endpoint's labels in the API, or else the last ones that it had there.
    fn labels_of_endpoint(
        &mut self,
        link: &Name,
        directory: &Directory,
        local: &mut Local,
    ) -> Option<SecurityLabels> {
        let endpoint = local.get(link)?;
        let name = endpoint.name();
        let labels = directory.labels_of_endpoint(endpoint).or_else(|| endpoint.labels.clone())?;
        match local.set_labels(link, labels.clone()) {
            Ok(()) => Some(labels),
            // An agent after us would not know it, and cut it off.
            Err(error) if !local.is_in_file(link) => {
                self.keep_out(link, &name, &format!("{error:#}"));
                None
            }
            Err(error) => {
                self.failed.insert(link.clone(), format!("{error:#}"));
                Some(labels)
            }
        }
    }

    fn keep_out(&mut self, key: &Name, pod: &str, why: &str) {
        self.failed.insert(key.clone(), format!("{pod} has no network: {why}"));
    }

    /// One claims something else now, or (`None`) nothing.
    fn set(&mut self, key: &Name, now: Option<Claimant>) {
        if self.claimants.get(key) == now.as_ref() {
            return;
        }
        let after = now.as_ref().map_or(Vec::new(), |it| it.addresses.clone());
        let before = match now {
            Some(now) => self.claimants.insert(key.clone(), now),
            None => self.claimants.remove(key),
        };
        for address in before.into_iter().flat_map(|it| it.addresses) {
            self.by_address.remove(&(address, key.clone()));
            self.changed.addresses.insert(address);
        }
        for address in after {
            self.by_address.insert((address, key.clone()));
            self.changed.addresses.insert(address);
        }
    }

    /// What may be another since somebody asked last.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// One by its key.
    pub fn get(&self, key: &str) -> Option<&Claimant> {
        self.claimants.get(key)
    }

    /// The identities of all who claim anything, owners or not: their numbers are not free.
    pub fn identities(&self) -> BTreeSet<u32> {
        let endpoints = self.claimants.values().filter_map(|it| it.endpoint);
        endpoints.map(|it| it.identity).collect()
    }

    /// What keeps somebody from being as it should be.
    pub fn failure(&self, key: &str) -> Option<&String> {
        self.failed.get(key)
    }

    /// Is there something that must be tried again?
    pub fn has_failed(&self) -> bool {
        self.failures().next().is_some()
    }

    /// All that does.
    pub fn failures(&self) -> impl Iterator<Item = &String> {
        self.failed.values().chain(&self.unsaved)
    }

    fn claimants(&self, address: Ipv4Addr) -> impl Iterator<Item = (&Name, &Claimant)> {
        let claims = self.by_address.range((Included((address, Name::default())), Unbounded));
        let claims = claims.take_while(move |(its, _)| *its == address);
        claims.filter_map(|(_, key)| self.claimants.get_key_value(key))
    }

    /// Who has an address.
    pub fn owner(&self, address: Ipv4Addr) -> Option<&Claimant> {
        let claimants = self.claimants(address);
        claimants.max_by_key(|&(key, it)| (&it.rank, key)).map(|(_, it)| it)
    }

    /// Several that are alive claim an address: who, in words.
    pub fn conflict(&self, address: Ipv4Addr) -> Option<String> {
        let live = self.claimants(address).filter(|(_, it)| it.rank.is_live);
        let live: BTreeSet<_> = live.map(|(_, it)| &*it.pod).collect();
        let owner = self.owner(address).filter(|_| live.len() > 1)?;
        let live = live.into_iter().collect::<Vec<_>>().join(" and ");
        Some(format!("{live} claim the address {address}: {} has it", owner.pod))
    }
}
