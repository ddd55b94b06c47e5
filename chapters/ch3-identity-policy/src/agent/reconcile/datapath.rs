//! Writing the wanted maps: only what differs, and all of it at once.
//!
//! A change is many writes. Each says that it counts from the next epoch on; then the epoch is
//! made the next one, and every program that starts from then on sees the whole change. Programs
//! that are still running see nothing of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::MapError;
use nix::errno::Errno;

use super::changes::Changes;
use super::grace::{self, Wait};
use super::wanted::Wanted;
use crate::maps::ct::Tables;
use crate::maps::{
    self, Endpoint, EndpointEntry, EndpointMap, IN_PLACE, Number, PolicyEntry, PolicyKey,
    PolicyMap, errno, is_absent, key,
};

mod compare;

/// So many endpoints more than there are have tables already: ADD need not wait for them.
const SPARE: u32 = 16;

/// The pinned maps, and what they hold.
#[derive(Debug)]
pub struct Datapath {
    endpoint_map: EndpointMap,
    policy_map: PolicyMap,
    epoch_map: Number,
    tables: Tables,
    ids: Vec<u32>,
    epoch: u32,
    endpoints: BTreeMap<Ipv4Addr, EndpointEntry>,
    policy: BTreeMap<PolicyKey, PolicyEntry>,
    /// What a program that still runs may be reading as it was before.
    recent: Changes,
    /// What was recent when the wait began.
    resting: Changes,
    wait: Wait,
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

    /// How many entries of each map count.
    pub fn sizes(&self) -> [usize; 2] {
        [
            self.endpoints.len() - self.dead.endpoints.len(),
            self.policy.len() - self.dead.policy.len(),
        ]
    }

    // #region apply
    /// Makes the maps what is wanted. What does not fit is left out, which denies, and is told;
    /// it comes in when there is room.
    pub fn apply(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        let problems = self.change(wanted, changes);
        if self.left_out.is_empty() || self.dead.is_empty() {
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
        if let Err(error) = self.let_rest(&different) {
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
        for &pair in &different.policy {
            if let Err(error) = self.set_pair(pair, wanted.policy.contains(&pair), next) {
                problems.push(format!("{error:#}"));
                self.left_out.policy.insert(pair);
            }
        }
        self.recent.extend(different);
        if let Err(error) = self.publish(next) {
            problems.push(format!("{error:#}"));
        }
        self.begin_to_wait();
        problems.sort_unstable();
        problems.dedup();
        problems
    }
    // #endregion apply

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
        keys.policy.retain(|pair| self.has_pair(pair, next) != wanted.policy.contains(pair));
        keys
    }

    fn endpoint(&self, address: Ipv4Addr, epoch: u32) -> Option<Endpoint> {
        self.endpoints.get(&address)?.at(epoch)
    }

    fn has_pair(&self, pair: &PolicyKey, epoch: u32) -> bool {
        self.policy.get(pair).is_some_and(|entry| entry.is_at(epoch))
    }

    fn set_endpoint(&mut self, address: Ipv4Addr, to: Option<&Endpoint>, since: u32) -> Result<()> {
        let to = to.copied().unwrap_or_default(); // nobody
        if to.id >= self.tables.endpoints() {
            self.tables.make(to.id + SPARE)?;
            ensure!(to.id < self.tables.endpoints(), "ct_map has no room for endpoint {}", to.id);
        }
        let entry = match self.endpoints.get(&address) {
            Some(before) => before.from(since, to),
            None => EndpointEntry::new(since, to),
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

    fn set_pair(&mut self, pair: PolicyKey, allow: bool, since: u32) -> Result<()> {
        let entry = match self.policy.get(&pair) {
            // It ends. Of one that never counted, that was to count from now on, nothing is left.
            Some(before) if !allow => before.until(since),
            // It has not ended, and is not to.
            Some(before) if before.is_at(self.epoch) => before.until(0),
            _ => PolicyEntry::allow(since),
        };
        let written = self.policy_map.insert(pair, entry, IN_PLACE);
        written.map_err(|error| full("policy_map", error))?;
        self.policy.insert(pair, entry);
        match allow {
            true => self.dead.policy.remove(&pair),
            false => self.dead.policy.insert(pair),
        };
        Ok(())
    }

    /// From now on what was written counts.
    fn publish(&mut self, epoch: u32) -> Result<()> {
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

    /// The next change may come to the same entries: it should not have to wait then.
    fn begin_to_wait(&mut self) {
        if self.wait.is_over() {
            let _ = self.end_wait(); // what has failed is waited for when it must be
            self.resting = std::mem::take(&mut self.recent);
            self.wait = Wait::begin();
        }
    }

    fn end_wait(&mut self) -> Result<()> {
        let ended = self.wait.end();
        let resting = std::mem::take(&mut self.resting);
        if ended.is_err() {
            self.recent.extend(resting);
        }
        ended
    }

    /// Returns when nobody reads these entries as they were before.
    fn let_rest(&mut self, entries: &Changes) -> Result<()> {
        if self.wait.is_over() || entries.meets(&self.resting) {
            let _ = self.end_wait(); // as above
        }
        if entries.meets(&self.recent) { self.wait() } else { Ok(()) }
    }

    fn wait(&mut self) -> Result<()> {
        grace::wait()?;
        (self.recent, self.resting) = Default::default();
        Ok(())
    }

    // #region sweep
    /// Removes what counts for nobody any more. Not with the change itself: a program that has
    /// found an entry may be reading it, and the kernel gives its memory to the next one at once.
    /// Hence a wait before, and one after.
    pub fn sweep(&mut self) -> Result<()> {
        self.spare_tables()?;
        // What is to end with an epoch that has not come counts.
        if self.unpublished
            || (self.dead.is_empty() && self.recent.is_empty() && self.resting.is_empty())
        {
            return Ok(());
        }
        self.wait()?;
        while let Some(address) = self.dead.endpoints.first().copied() {
            ignore_absent(self.endpoint_map.remove(&key(address))).context("endpoint_map")?;
            self.endpoints.remove(&address);
            self.dead.endpoints.remove(&address);
        }
        while let Some(pair) = self.dead.policy.first().copied() {
            ignore_absent(self.policy_map.remove(&pair)).context("policy_map")?;
            self.policy.remove(&pair);
            self.dead.policy.remove(&pair);
        }
        self.wait()
    }
    // #endregion sweep
}

fn ignore_absent(removed: Result<(), MapError>) -> Result<()> {
    match removed {
        Err(error) if !is_absent(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// E2BIG is how the kernel says that a map is full.
fn full(map: &str, error: MapError) -> anyhow::Error {
    let why = match errno(&error) {
        Some(Errno::E2BIG) => "it is full; what is left out is denied".into(),
        _ => error.to_string(),
    };
    anyhow!("cannot write {map}: {why}")
}
