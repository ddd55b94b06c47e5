//! What the maps should hold. It is kept, and what changes is worked in; the result is the same
//! as if all of it were computed anew. An event only says where to look, so none can be misread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::changes::Changes;
use crate::agent::objects::directory::Directory;
use crate::agent::objects::key::Name;
use crate::agent::owners::claims::Claims;
use crate::agent::owners::identity::Identities;
use crate::agent::owners::local::LocalEndpoints;
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::verdicts::{Allowed, Verdicts};
use crate::api::SecurityLabels;
use crate::maps::{Endpoint, PolicyKey};

/// What the maps should hold, and why.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `endpoint_map`.
    pub endpoints: BTreeMap<Ipv4Addr, Endpoint>,
    /// `policy_map`'s keys; [`allowed`](Self::allowed) says what.
    pub policy: BTreeSet<PolicyKey>,
    /// Who claims which address, by which identity.
    pub claims: Claims,
    /// What the policies say of the identities in use.
    pub verdicts: Verdicts,
    /// The addresses of each identity in use.
    addresses: BTreeMap<u32, BTreeSet<Ipv4Addr>>,
    /// Policies that are not enforced as they stand, and addresses that several claim.
    not_enforced: BTreeMap<Name, Vec<String>>,
    conflicts: BTreeMap<Ipv4Addr, String>,
    /// Numbers that addresses keep for now: see [`hold`](Self::hold).
    held: BTreeMap<Ipv4Addr, u32>,
    /// What the view must learn.
    pub for_view: ViewChanges,
}

/// What may have changed, for the view.
#[derive(Debug, Default)]
pub struct ViewChanges {
    /// Policies.
    pub policies: BTreeSet<Name>,
    /// Endpoints of this node.
    pub links: BTreeSet<Name>,
    /// Those that came into use, or are not in use any more.
    pub identities: BTreeSet<u32>,
}

impl Wanted {
    /// Nothing yet, on this node.
    pub fn new(node: String) -> Self {
        Self { claims: Claims::new(node), ..Self::default() }
    }

    /// These addresses keep these numbers, while programs of another chapter judge them: its policy_map
    /// has no others. With none, all are as they should be again.
    pub fn hold(&mut self, numbers: BTreeMap<Ipv4Addr, u32>) {
        self.claims.owners.touch(std::mem::replace(&mut self.held, numbers).into_keys());
    }

    // #region update
    /// Works in what is another since the last time: policies, then who is who, then what follows
    /// from both.
    pub fn update(
        &mut self,
        directory: &mut Directory,
        local: &mut LocalEndpoints,
        identities: &mut Identities,
    ) -> Changes {
        for name in directory.policies.take_changed() {
            let policy = directory.policies.get(&name).map(|policy| Policy::read(policy));
            self.set_policy(name, policy);
        }
        self.claims.update(directory, local, identities, self.verdicts.asked());
        self.for_view.links.extend(self.claims.take_links());
        let touched = self.claims.owners.take_touched();
        for address in &touched {
            self.set_owner(*address, identities);
        }
        self.forget_identities();
        self.settle(touched)
    }
    // #endregion update

    fn set_policy(&mut self, name: Name, policy: Option<Policy>) {
        match policy.as_ref().map(|policy| policy.problems().collect::<Vec<_>>()) {
            Some(problems) if !problems.is_empty() => {
                self.not_enforced.insert(name.clone(), problems)
            }
            _ => self.not_enforced.remove(&name),
        };
        self.verdicts.set_policy(&name, policy.map(Arc::new));
        self.for_view.policies.insert(name);
    }

    /// An address goes to its owner of now, whose identity comes into use.
    fn set_owner(&mut self, address: Ipv4Addr, identities: &Identities) {
        match self.claims.owners.conflict(address) {
            Some(conflict) => self.conflicts.insert(address, conflict),
            None => self.conflicts.remove(&address),
        };
        if let Some(before) = self.endpoints.remove(&address) {
            self.addresses.entry(before.identity).or_default().remove(&address);
            self.for_view.identities.insert(before.identity);
        }
        let owner = self.claims.owners.owner(address).and_then(|claimant| claimant.endpoint);
        let Some(mut now) = owner else { return };
        now.identity = self.held(address, now.identity, identities).unwrap_or(now.identity);
        self.endpoints.insert(address, now);
        self.addresses.entry(now.identity).or_default().insert(address);
        if self.verdicts.labels(now.identity).is_none()
            && let Some(labels) = identities.labels(now.identity)
        {
            self.verdicts.add_identity(now.identity, labels.clone());
            self.for_view.identities.insert(now.identity);
        }
    }

    /// The number that an address keeps. Chapter 3 knows no names of ports, so they may differ.
    fn held(&self, address: Ipv4Addr, id: u32, identities: &Identities) -> Option<u32> {
        let held = *self.held.get(&address)?;
        let (before, now) = (identities.labels(held)?, identities.labels(id)?);
        let with_its_names = SecurityLabels { ports: before.ports.clone(), ..(**now).clone() };
        (with_its_names == **before).then_some(held)
    }

    /// Identities that no address has any more are in nobody's verdict.
    fn forget_identities(&mut self) {
        for id in &self.for_view.identities {
            if self.addresses.get(id).is_some_and(BTreeSet::is_empty) {
                self.addresses.remove(id);
                self.verdicts.remove_identity(*id);
            }
        }
    }

    /// The verdicts that are others go into the maps.
    fn settle(&mut self, mut addresses: BTreeSet<Ipv4Addr>) -> Changes {
        let verdicts = self.verdicts.take_changes();
        let flagged = verdicts.flags.iter().filter_map(|id| self.addresses.get(id));
        addresses.extend(flagged.flatten());
        for address in &addresses {
            if let Some(endpoint) = self.endpoints.get_mut(address) {
                endpoint.flags = self.verdicts.flags(endpoint.identity);
            }
        }
        for pair in &verdicts.pairs {
            match self.verdicts.get(pair) {
                Some(_) => self.policy.insert(*pair),
                None => self.policy.remove(pair),
            };
        }
        Changes { endpoints: addresses, policy: verdicts.pairs }
    }

    /// What a pair may, if anything.
    pub fn allowed(&self, pair: &PolicyKey) -> Option<&Allowed> {
        self.verdicts.get(pair)
    }

    /// What is not enforced, or not as it should be.
    pub fn problems(&self) -> BTreeSet<String> {
        let policies = self.not_enforced.values().flatten();
        policies.chain(self.conflicts.values()).chain(self.claims.failures()).cloned().collect()
    }
}
