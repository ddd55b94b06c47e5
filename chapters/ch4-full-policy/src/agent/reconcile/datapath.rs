//! Writing the wanted maps: only what differs, and all of it at once.
//!
//! A change is many writes. Each says that it counts from the next epoch on; then the epoch is
//! made the next one, and every program that starts from then on sees the whole change. Programs
//! that are still running see nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::Result;

use super::changes::Changes;
use super::wanted::Wanted;
use crate::maps::ct::Tables;
use crate::maps::{
    self, Endpoint, EndpointEntry, EndpointMap, Number, Policy, PolicyEntry, PolicyKey, PolicyMap,
};

mod compare;
mod readers;
mod sets;
mod sweep;
mod write;

use readers::Readers;
use sets::Sets;

/// So many endpoints more than there are have tables already: ADD need not wait for them.
const SPARE: u32 = 16;

/// The pinned maps, and what they hold.
#[derive(Debug)]
pub struct Datapath {
    endpoint_map: EndpointMap,
    policy_map: PolicyMap,
    sets: Sets,
    epoch_map: Number,
    tables: Tables,
    ids: Vec<u32>,
    epoch: u32,
    endpoints: BTreeMap<Ipv4Addr, EndpointEntry>,
    policy: BTreeMap<PolicyKey, PolicyEntry>,
    readers: Readers,
    /// What counts for nobody any more, and has not been removed.
    dead: Changes,
    /// What did not come into the maps the last time.
    left_out: Changes,
    /// The maps were read back: all of them is to be compared.
    unknown: bool,
    /// Something is written for the next epoch, which has not come: an agent before us has died
    /// there, or the epoch could not be written.
    unpublished: bool,
}

impl Datapath {
    /// Is this address in the map as it is wanted?
    pub fn has(&self, wanted: &Wanted, address: Ipv4Addr) -> bool {
        let endpoint = self.endpoint(address, self.epoch);
        endpoint.is_some() && endpoint.as_ref() == wanted.endpoints.get(&address)
    }

    /// The identities by address, if nobody has written our policies yet: another chapter has.
    pub fn numbers_of_another_chapter(&self) -> BTreeMap<Ipv4Addr, u32> {
        let endpoints = self.endpoints.iter().filter(|_| self.policy.is_empty());
        let number = |(address, entry): (&Ipv4Addr, &EndpointEntry)| {
            Some((*address, entry.versions.at(self.epoch)?.identity))
        };
        endpoints.filter_map(number).collect()
    }

    /// How many entries of each map count.
    pub fn sizes(&self) -> [usize; 2] {
        [
            self.endpoints.len() - self.dead.endpoints.len(),
            self.policy.len() - self.dead.policy.len(),
        ]
    }

    // #region apply
    /// Makes the maps what is wanted. What does not fit is left out, which denies, and is reported;
    /// it comes in when there is room.
    pub fn apply(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        let problems = self.change(wanted, changes);
        if self.left_out.is_empty() || (self.dead.is_empty() && !self.has_unused_sets()) {
            return problems;
        }
        match self.sweep() {
            Ok(()) => self.change(wanted, &Changes::default()), // there may be room now
            Err(error) => [problems, vec![format!("{error:#}")]].concat(),
        }
    }

    fn change(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        let Some(next) = self.epoch.checked_add(1) else {
            return vec![format!("epoch_map is at its end; run: rm -r {}", maps::GLOBALS)];
        };
        let different = self.different(wanted, changes, next);
        self.unknown = false;
        let mut problems = Vec::new();
        if different.is_empty() && !self.unpublished {
            self.left_out = different;
            return problems;
        }
        // An entry has room for two versions: nobody may need the older one any more.
        if let Err(error) = self.readers.wait_for(&different) {
            self.left_out = different;
            return vec![format!("{error:#}")];
        }
        self.left_out = Changes::default();
        for &address in &different.endpoints {
            if let Err(error) = self.set_endpoint(address, wanted.endpoints.get(&address), next) {
                problems.push(format!("{address}: {error:#}"));
                self.left_out.endpoints.insert(address);
            }
        }
        let mut sets = self.write_sets(wanted, &different.policy);
        // No pair is denied for want of room that there is: what nobody uses goes first.
        if sets.iter().any(Result::is_err) && self.sweep().is_ok() {
            sets = self.write_sets(wanted, &different.policy);
        }
        for (&pair, sets) in different.policy.iter().zip(sets) {
            // Without its sets a pair is denied, also one that was allowed something else.
            let to = sets.as_ref().copied().unwrap_or_default();
            let set = self.set_policy(pair, to, next);
            if let Err(error) = sets.map(drop).and(set) {
                problems.push(format!("{error:#}"));
                self.left_out.policy.insert(pair);
            }
        }
        self.readers.recent.extend(different);
        if let Err(error) = self.publish(next) {
            problems.push(format!("{error:#}"));
        }
        self.readers.begin_to_wait();
        problems.sort_unstable();
        problems.dedup();
        problems
    }
    // #endregion apply

    /// Sees to it that what these pairs may is in the maps. Returns the numbers of the sets.
    fn write_sets(&mut self, wanted: &Wanted, pairs: &BTreeSet<PolicyKey>) -> Vec<Result<Policy>> {
        let allowed = pairs.iter().map(|pair| wanted.allowed(pair));
        allowed.map(|it| it.map_or(Ok(Policy::default()), |it| self.sets.write(it))).collect()
    }

    /// Which of the keys would not be as wanted in the next epoch, if nothing was written.
    fn different(&self, wanted: &Wanted, changes: &Changes, next: u32) -> Changes {
        let mut keys = changes.clone();
        keys.extend(self.left_out.clone());
        if self.unknown {
            keys.endpoints.extend(wanted.endpoints.keys().chain(self.endpoints.keys()));
            keys.policy.extend(wanted.policy.iter().chain(self.policy.keys()));
        }
        keys.endpoints.retain(|address| {
            self.endpoint(*address, next).as_ref() != wanted.endpoints.get(address)
        });
        keys.policy.retain(|pair| {
            let entry = self.policy.get(pair).and_then(|entry| entry.versions.at(next));
            let sets =
                wanted.allowed(pair).map_or(Some(Policy::default()), |it| self.sets.find(it));
            sets != Some(entry.unwrap_or_default()) // or not in the maps yet
        });
        keys
    }

    fn endpoint(&self, address: Ipv4Addr, epoch: u32) -> Option<Endpoint> {
        self.endpoints.get(&address)?.versions.at(epoch)
    }
}
