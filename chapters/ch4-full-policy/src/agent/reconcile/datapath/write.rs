//! Writing entries that count from the next epoch on, and making it the current one.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::MapError;
use nix::errno::Errno;

use super::{Datapath, SPARE};
use crate::agent::reconcile::grace;
use crate::maps::{
    Endpoint, EndpointEntry, IN_PLACE, Policy, PolicyEntry, PolicyKey, Versions, errno, key,
};

impl Datapath {
    pub(super) fn set_endpoint(
        &mut self,
        address: Ipv4Addr,
        to: Option<&Endpoint>,
        since: u32,
    ) -> Result<()> {
        let to = to.copied().unwrap_or_default(); // nobody
        if to.id >= self.tables.endpoints() {
            self.tables.make(to.id + SPARE)?;
            ensure!(to.id < self.tables.endpoints(), "ct_map has no room for endpoint {}", to.id);
        }
        let entry = match self.endpoints.get(&address) {
            Some(before) => EndpointEntry::new(before.versions.from(since, to)),
            None => EndpointEntry::new(Versions::new(since, to)),
        };
        let written = self.endpoint_map.insert(key(address), entry, IN_PLACE);
        written.map_err(|error| full("endpoint_map", error))?;
        self.endpoints.insert(address, entry);
        match to.identity {
            0 => self.dead.endpoints.insert(address),
            _ => self.dead.endpoints.remove(&address),
        };
        Ok(())
    }

    pub(super) fn set_policy(&mut self, pair: PolicyKey, to: Policy, since: u32) -> Result<()> {
        let entry = match self.policy.get(&pair) {
            Some(before) => {
                let mut entry = PolicyEntry::new(before.versions.from(since, to));
                if let Ok(now) = self.policy_map.get(&pair, 0) {
                    (entry.packets, entry.bytes) = (now.packets, now.bytes);
                }
                entry
            }
            None if to == Policy::default() => return Ok(()), // it is denied already
            None => PolicyEntry::new(Versions::new(since, to)),
        };
        let written = self.policy_map.insert(pair, entry, IN_PLACE);
        written.map_err(|error| full("policy_map", error))?;
        self.policy.insert(pair, entry);
        match to == Policy::default() {
            true => self.dead.policy.insert(pair),
            false => self.dead.policy.remove(&pair),
        };
        Ok(())
    }

    /// From now on what was written counts.
    pub(super) fn publish(&mut self, epoch: u32) -> Result<()> {
        // Other CPUs than x86 may read an entry before the epoch that their program reads first.
        if !cfg!(target_arch = "x86_64") {
            grace::wait()?;
        }
        self.unpublished = true;
        self.epoch_map.set(epoch).context("cannot write epoch_map")?;
        self.unpublished = false;
        self.epoch = epoch;
        Ok(())
    }
}

/// How the kernel says that a map is full: E2BIG, and ENOSPC if its keys are prefixes.
pub(super) fn full(map: &str, error: MapError) -> anyhow::Error {
    let why = match errno(&error) {
        Some(Errno::E2BIG | Errno::ENOSPC) => "it is full; what is left out is denied".into(),
        _ => error.to_string(),
    };
    anyhow!("cannot write {map}: {why}")
}
