//! Writing the wanted maps: only what differs, and all of it at once.
//!
//! A change is many writes. Each says that it counts from the next epoch on; then the epoch is
//! made the next one, and every program that starts from then on sees the whole change. Programs
//! that are still running see nothing of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, anyhow};
use aya::maps::{MapError, MapInfo};
use nix::errno::Errno;

use super::changes::Changes;
use super::grace;
use super::wanted::Wanted;
use crate::maps::ct::Tables;
use crate::maps::{
    self, Endpoint, EndpointEntry, EndpointMap, IN_PLACE, Number, PolicyEntry, PolicyKey,
    PolicyMap, address, errno, is_absent, key,
};

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
    /// What counts for nobody any more, and has not been removed.
    dead: Changes,
    /// What did not come into the maps the last time.
    left_out: Changes,
    /// The maps were read back: all of them is to be compared.
    unknown: bool,
}

impl Datapath {
    /// Opens the maps and reads what is in them: an agent before us has left it, and it decides
    /// until the first difference is written.
    pub fn open() -> Result<Self> {
        let epoch_map = Number::open("epoch_map")?;
        let mut datapath = Self {
            endpoint_map: maps::endpoint_map()?,
            policy_map: maps::policy_map()?,
            epoch: epoch_map.get().context("cannot read epoch_map")?,
            epoch_map,
            tables: Tables::open()?,
            ids: pinned_ids()?,
            endpoints: BTreeMap::new(),
            policy: BTreeMap::new(),
            recent: Changes::default(),
            dead: Changes::default(),
            left_out: Changes::default(),
            unknown: true,
        };
        datapath.compare()?;
        datapath.spare_tables()?;
        grace::wait()?; // for what the agent before us did last
        Ok(datapath)
    }

    /// Are these still the maps that are pinned, so those of the programs?
    pub fn is_pinned(&self) -> bool {
        pinned_ids().is_ok_and(|ids| ids == self.ids)
    }

    /// Reads the maps back, since others may write too, if only the plugin on DEL. The next change
    /// looks at everything.
    pub fn compare(&mut self) -> Result<()> {
        let entries = self.endpoint_map.iter();
        let entries = entries.map(|it| it.map(|(key, entry)| (address(key), entry)));
        self.endpoints = entries.collect::<Result<_, _>>().context("cannot read endpoint_map")?;
        let entries = self.policy_map.iter();
        self.policy = entries.collect::<Result<_, _>>().context("cannot read policy_map")?;
        self.compare_epoch()?;
        let epoch = self.epoch;
        let dead = self.endpoints.iter().filter(|(_, entry)| entry.at(epoch).is_none());
        self.dead.endpoints = dead.map(|(address, _)| *address).collect();
        let dead = self.policy.iter().filter(|(_, entry)| !entry.is_at(epoch));
        self.dead.policy = dead.map(|(key, _)| *key).collect();
        self.unknown = true;
        Ok(())
    }

    /// The epoch never goes back: what was, and ended, would count again. An agent that was killed
    /// may have written for the next one; what is further ahead had another epoch_map.
    fn compare_epoch(&mut self) -> Result<()> {
        let epochs = self.endpoints.values().map(EndpointEntry::newest);
        let last = epochs.chain(self.policy.values().map(PolicyEntry::newest)).max().unwrap_or(0);
        let now = self.epoch_map.get()?;
        self.epoch = self.epoch.max(now).max(if last > now + 1 { last } else { now });
        if self.epoch == now { Ok(()) } else { self.publish(self.epoch) }
    }

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
        let mut problems = self.change(wanted, changes);
        if !self.left_out.is_empty() && !self.dead.is_empty() {
            self.sweep().unwrap_or_else(|error| problems.push(format!("{error:#}")));
            problems = self.change(wanted, &Changes::default()); // there may be room now
        }
        problems
    }

    fn change(&mut self, wanted: &Wanted, changes: &Changes) -> Vec<String> {
        let next = self.epoch + 1;
        let different = self.different(wanted, changes, next);
        self.unknown = false;
        let mut problems = Vec::new();
        if different.is_empty() {
            self.left_out = different;
            return problems;
        }
        // An entry has room for two versions: nobody may need the older one any more.
        if different.meets(&self.recent)
            && let Err(error) = self.wait()
        {
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
        match self.publish(next) {
            Ok(()) => self.epoch = next,
            Err(error) => problems.push(format!("{error:#}")),
        }
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
        keys.endpoints.retain(|it| self.endpoint(*it, next).as_ref() != wanted.endpoints.get(it));
        keys.policy.retain(|it| self.has_pair(it, next) != wanted.policy.contains(it));
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

    fn spare_tables(&mut self) -> Result<()> {
        let living = self.endpoints.values().filter_map(|entry| entry.at(self.epoch));
        let last = living.map(|endpoint| endpoint.id).max().unwrap_or_default();
        self.tables.make(last + SPARE)
    }

    /// From now on what was written counts.
    fn publish(&mut self, epoch: u32) -> Result<()> {
        // Other CPUs than x86 may read an entry before the epoch that their program reads first.
        if !cfg!(target_arch = "x86_64") {
            grace::wait()?;
        }
        self.epoch_map.set(epoch).context("cannot write epoch_map")
    }

    fn wait(&mut self) -> Result<()> {
        grace::wait()?;
        self.recent = Changes::default();
        Ok(())
    }

    // #region sweep
    /// Removes what counts for nobody any more. Not with the change itself: a program that has
    /// found an entry may be reading it, and the kernel gives its memory to the next one at once.
    /// Hence a wait before, and one after.
    pub fn sweep(&mut self) -> Result<()> {
        self.spare_tables()?;
        if self.dead.is_empty() {
            return Ok(());
        }
        self.wait()?;
        for address in std::mem::take(&mut self.dead.endpoints) {
            self.endpoints.remove(&address);
            ignore_absent(self.endpoint_map.remove(&key(address))).context("endpoint_map")?;
        }
        for pair in std::mem::take(&mut self.dead.policy) {
            self.policy.remove(&pair);
            ignore_absent(self.policy_map.remove(&pair)).context("policy_map")?;
        }
        self.wait()
    }
    // #endregion sweep
}

fn pinned_ids() -> Result<Vec<u32>> {
    let id = |name: &&str| Ok(MapInfo::from_pin(format!("{}/{name}", maps::GLOBALS))?.id());
    maps::MAPS.iter().map(id).collect()
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
