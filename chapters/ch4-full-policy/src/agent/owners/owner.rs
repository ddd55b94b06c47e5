//! Who has an address: of all who claim it, one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound::{Included, Unbounded};

use super::claimant::Claimant;
use crate::agent::objects::key::Name;

/// All claimants; the key is a pod's `namespace/name`, or an endpoint's link.
#[derive(Debug, Default)]
pub struct Owners {
    claimants: BTreeMap<Name, Claimant>,
    by_address: BTreeSet<(Ipv4Addr, Name)>,
    /// Addresses that may have another owner since somebody asked last.
    touched: BTreeSet<Ipv4Addr>,
}

impl Owners {
    /// One claims something else now, or (`None`) nothing.
    pub fn set(&mut self, key: &Name, now: Option<Claimant>) {
        if self.claimants.get(key) == now.as_ref() {
            return;
        }
        let after = now.as_ref().map_or(Vec::new(), |claimant| claimant.addresses.clone());
        let before = match now {
            Some(now) => self.claimants.insert(key.clone(), now),
            None => self.claimants.remove(key),
        };
        for address in before.into_iter().flat_map(|claimant| claimant.addresses) {
            self.by_address.remove(&(address, key.clone()));
            self.touched.insert(address);
        }
        for address in after {
            self.by_address.insert((address, key.clone()));
            self.touched.insert(address);
        }
    }

    /// The addresses that may have another owner since somebody asked last.
    pub fn take_touched(&mut self) -> BTreeSet<Ipv4Addr> {
        std::mem::take(&mut self.touched)
    }

    /// These may have: whoever asks looks at them again.
    pub fn touch(&mut self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        self.touched.extend(addresses);
    }

    /// One by its key.
    pub fn get(&self, key: &str) -> Option<&Claimant> {
        self.claimants.get(key)
    }

    /// The identities of all who claim anything, owners or not: their numbers are not free.
    pub fn identities(&self) -> BTreeSet<u32> {
        let endpoints = self.claimants.values().filter_map(|claimant| claimant.endpoint);
        endpoints.map(|endpoint| endpoint.identity).collect()
    }

    fn claimants(&self, address: Ipv4Addr) -> impl Iterator<Item = (&Name, &Claimant)> {
        let claims = self.by_address.range((Included((address, Name::default())), Unbounded));
        let claims = claims.take_while(move |(its, _)| *its == address);
        claims.filter_map(|(_, key)| self.claimants.get_key_value(key))
    }

    /// Who has an address.
    pub fn owner(&self, address: Ipv4Addr) -> Option<&Claimant> {
        let claimants = self.claimants(address);
        claimants.max_by_key(|&(key, claimant)| (&claimant.rank, key)).map(|(_, claimant)| claimant)
    }

    /// Several that are alive claim an address: who, in words.
    pub fn conflict(&self, address: Ipv4Addr) -> Option<String> {
        self.claimants(address).nth(1)?; // as a rule there is no second one
        let live = self.claimants(address).filter(|(_, claimant)| claimant.rank.is_live);
        let live: BTreeSet<_> = live.map(|(_, claimant)| &*claimant.pod).collect();
        let owner = self.owner(address).filter(|_| live.len() > 1)?;
        let live = live.into_iter().collect::<Vec<_>>().join(" and ");
        Some(format!("{live} claim the address {address}: {} has it", owner.pod))
    }
}
