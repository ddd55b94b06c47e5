//! Writing the wanted maps: only what differs, and in an order that never lets through what
//! neither the old state nor the new one allows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::MapError;
use nix::errno::Errno;

use super::wanted::{Changes, Wanted};
use crate::maps::{
    self, Endpoint, EndpointMap, PolicyEntry, PolicyKey, PolicyMap, address, errno, is_absent, key,
};

/// The pinned maps, and what they hold.
#[derive(Debug)]
pub struct Datapath {
    endpoint_map: EndpointMap,
    policy_map: PolicyMap,
    endpoints: BTreeMap<Ipv4Addr, Endpoint>,
    policy: BTreeSet<PolicyKey>,
    /// Something was left out, or the maps may be others than we know: all of it is looked at.
    compares: bool,
}

impl Datapath {
    /// Opens the maps and reads what is in them: an agent before us has left it, and it decides
    /// until the first difference is written.
    pub fn open() -> Result<Self> {
        let (endpoint_map, policy_map) = (maps::endpoint_map()?, maps::policy_map()?);
        let entries = endpoint_map.iter().map(|it| it.map(|(key, entry)| (address(key), entry)));
        let endpoints = entries.collect::<Result<_, _>>().context("cannot read endpoint_map")?;
        let keys = policy_map.iter().map(|it| it.map(|(key, _)| key));
        let policy = keys.collect::<Result<_, _>>().context("cannot read policy_map")?;
        Ok(Self { endpoint_map, policy_map, endpoints, policy, compares: true })
    }

    /// Reads the maps back: others may write too, if only the plugin on DEL.
    pub fn compare(&mut self) -> Result<()> {
        Self::open().map(|now| *self = now)
    }

    /// To be called when nothing has changed for a while.
    pub fn sweep(&mut self) {}

    /// Is this address in the map as it is wanted?
    pub fn has(&self, wanted: &Wanted, address: Ipv4Addr) -> bool {
        let entry = self.endpoints.get(&address);
        entry.is_some() && entry == wanted.endpoints.get(&address)
    }

    /// How many entries each map has.
    pub fn sizes(&self) -> [usize; 2] {
        [self.endpoints.len(), self.policy.len()]
    }

    // #region apply
    /// Makes the maps what is wanted. What does not fit is left out, which denies, and is told;
    /// it comes in when there is room.
    pub fn apply(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        if self.compares {
            let endpoints = self.endpoints.keys().chain(wanted.endpoints.keys()).copied();
            let policy = self.policy.union(&wanted.policy).copied();
            let all = Changes { endpoints: endpoints.collect(), policy: policy.collect() };
            return self.write(wanted, &all);
        }
        self.write(wanted, changes)
    }

    fn write(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        let mut problems = Vec::new();
        // First what is allowed in addition, the wildcard of who is not isolated any more too.
        let mut left_out = self.allow(wanted, changes);
        // Then who is who: an endpoint appears when all that may reach it does.
        self.publish(wanted, changes, &mut problems);
        // At last what is not allowed any more, and with the wildcard isolation begins.
        self.forbid(wanted, changes, &mut problems);
        if left_out.is_some() {
            left_out = self.allow(wanted, changes); // there may be room now
        }
        problems.extend(left_out);
        self.compares = !problems.is_empty();
        problems
    }
    // #endregion apply

    fn allow(&mut self, wanted: &Wanted, changes: &Changes) -> Option<String> {
        let mut failed = None;
        for key in changes.policy.iter().filter(|it| wanted.policy.contains(it)) {
            if self.policy.contains(key) {
                continue;
            }
            match self.policy_map.insert(key, PolicyEntry::ALLOW, 0) {
                Ok(()) => drop(self.policy.insert(*key)),
                Err(error) => failed = Some(full("policy_map", &error)),
            }
        }
        failed
    }

    fn publish(&mut self, wanted: &Wanted, changes: &Changes, problems: &mut Vec<String>) {
        // Who is gone makes room first; its address gets no packet of its successor's.
        let gone = changes.endpoints.iter().filter(|it| !wanted.endpoints.contains_key(it));
        for address in gone.filter(|it| self.endpoints.contains_key(it)).collect::<Vec<_>>() {
            match self.endpoint_map.remove(&key(*address)) {
                Err(error) if !is_absent(&error) => problems.push(full("endpoint_map", &error)),
                _ => drop(self.endpoints.remove(address)),
            }
        }
        for address in &changes.endpoints {
            let Some(endpoint) = wanted.endpoints.get(address) else { continue };
            if self.endpoints.get(address) == Some(endpoint) {
                continue;
            }
            match self.endpoint_map.insert(key(*address), endpoint, 0) {
                Ok(()) => drop(self.endpoints.insert(*address, *endpoint)),
                Err(error) => problems.push(format!("{address}: {}", full("endpoint_map", &error))),
            }
        }
    }

    fn forbid(&mut self, wanted: &Wanted, changes: &Changes, problems: &mut Vec<String>) {
        for key in changes.policy.iter().filter(|it| !wanted.policy.contains(it)) {
            if !self.policy.contains(key) {
                continue;
            }
            match self.policy_map.remove(key) {
                Err(error) if !is_absent(&error) => problems.push(full("policy_map", &error)),
                _ => drop(self.policy.remove(key)),
            }
        }
    }
}

/// E2BIG is how the kernel says that a map is full.
fn full(map: &str, error: &MapError) -> String {
    let why = match errno(error) {
        Some(Errno::E2BIG) => "it is full; what is left out is denied".into(),
        _ => error.to_string(),
    };
    format!("cannot write {map}: {why}")
}
