//! Opening the maps, and reading back what is in them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;

use super::readers::Readers;
use super::sets::Sets;
use super::{Datapath, SPARE};
use crate::agent::reconcile::changes::Changes;
use crate::agent::reconcile::grace;
use crate::maps::ct::Tables;
use crate::maps::{self, Number, address};

impl Datapath {
    /// Opens the maps and reads what is in them: an agent before us has left it, and it decides
    /// until the first difference is written.
    pub fn open() -> Result<Self> {
        let epoch_map = Number::open("epoch_map")?;
        let mut datapath = Self {
            endpoint_map: maps::endpoint_map()?,
            policy_map: maps::policy_map()?,
            sets: Sets::open()?,
            epoch: epoch_map.get().context("cannot read epoch_map")?,
            epoch_map,
            tables: Tables::open()?,
            ids: pinned_ids()?,
            endpoints: BTreeMap::new(),
            policy: BTreeMap::new(),
            readers: Readers::default(),
            dead: Changes::default(),
            left_out: Changes::default(),
            unknown: true,
            unpublished: false,
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
        let entries = entries.map(|entry| entry.map(|(key, entry)| (address(key), entry)));
        self.endpoints = entries.collect::<Result<_, _>>().context("cannot read endpoint_map")?;
        let entries = self.policy_map.iter();
        self.policy = entries.collect::<Result<_, _>>().context("cannot read policy_map")?;
        self.sets.compare(self.policy.values().flat_map(|entry| entry.versions.values()))?;
        self.compare_epoch()?;
        let epoch = self.epoch;
        let dead =
            self.endpoints.iter().filter(|it| it.1.versions.counting(epoch).next().is_none());
        self.dead.endpoints = dead.map(|(address, _)| *address).collect();
        let dead = self.policy.iter().filter(|it| it.1.versions.counting(epoch).next().is_none());
        self.dead.policy = dead.map(|(key, _)| *key).collect();
        self.unknown = true;
        Ok(())
    }

    /// The epoch never goes back: what was, and ended, would count again. In a new epoch_map beside
    /// old maps it begins where those are.
    fn compare_epoch(&mut self) -> Result<()> {
        let epochs = self.endpoints.values().map(|entry| entry.versions.newest());
        let epochs = epochs.chain(self.policy.values().map(|entry| entry.versions.newest()));
        let last = epochs.max().unwrap_or_default();
        let now = self.epoch_map.get()?;
        let is_new = now == 0 && self.epoch == 0;
        let epoch = self.epoch.max(if is_new { last } else { now });
        if epoch != now {
            self.publish(epoch)?;
        }
        self.epoch = epoch;
        self.unpublished = last > epoch;
        Ok(())
    }

    /// Makes tables of connections for endpoints to come.
    pub(super) fn spare_tables(&mut self) -> Result<()> {
        let living = self.endpoints.values().filter_map(|entry| entry.versions.at(self.epoch));
        let last = living.map(|endpoint| endpoint.id).max().unwrap_or_default();
        self.tables.make(last + SPARE)
    }
}

fn pinned_ids() -> Result<Vec<u32>> {
    let id = |name: &&str| Ok(MapInfo::from_pin(format!("{}/{name}", maps::GLOBALS))?.id());
    maps::MAPS.iter().map(id).collect()
}
