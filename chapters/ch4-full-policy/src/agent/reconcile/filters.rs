//! The filters on this node's veths, looked after as the maps are: compared with what is wanted,
//! and attached anew. After the maps are written, never before: a filter with maps that are not
//! filled yet would cut its pod off.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::net::if_::if_nametoindex;

use crate::agent::objects::key::Name;
use crate::agent::owners::local::LocalEndpoint;
use crate::tc::{self, Programs};

/// Veths whose filters are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Veths {
    /// All of them.
    All,
    /// By ifindex.
    These(BTreeSet<u32>),
}

impl Default for Veths {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Veths {
    /// Takes in others.
    pub fn extend(&mut self, others: Self) {
        match (&mut *self, others) {
            (Self::These(these), Self::These(others)) => these.extend(others),
            _ => *self = Self::All,
        }
    }

    fn has(&self, ifindex: u32) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(&ifindex),
        }
    }
}

/// What could not be attached, by link.
#[derive(Debug, Default)]
pub struct Filters {
    faults: BTreeMap<Name, String>,
    /// The bridges of the endpoints, by ifindex.
    bridges: BTreeSet<u32>,
}

impl Filters {
    // #region mend
    /// Looks at the veths of these endpoints, and at their bridges, and attaches what is not there.
    /// What fails is reported, and tried again when all are looked at.
    pub fn mend<'a>(
        &mut self,
        veths: &Veths,
        endpoints: impl Iterator<Item = (&'a Name, &'a LocalEndpoint)>,
    ) {
        if *veths == Veths::default() {
            return;
        }
        let programs = tc::programs();
        let mut faults = BTreeMap::new();
        for bridge in &self.bridges {
            let Some(name) = tc::link_name(*bridge) else { continue };
            // Each try makes news, which must not make the next one.
            let known = self.faults.get(&*name).filter(|_| *veths != Veths::All);
            faults.extend(known.map(|fault| (name.as_str().into(), fault.clone())));
            if known.is_none() && veths.has(*bridge) {
                let _ = mend_bridge(&programs, &name, &mut faults); // it is in there
            }
        }
        for (link, endpoint) in endpoints {
            let known = self.faults.get(link).filter(|_| *veths != Veths::All);
            faults.extend(known.map(|fault| (link.clone(), fault.clone())));
            if known.is_some() || !veths.has(endpoint.new.ifindex) {
                continue;
            }
            let name = endpoint.name();
            let mended = ensure_named(endpoint.new.ifindex, link).and_then(|()| {
                let bridge = tc::bridge_of(link)?;
                let bridge_name = tc::link_name(bridge).context("its bridge is gone")?;
                // First: our from_pod leaves to the bridge what another one would have dropped.
                if !self.bridges.contains(&bridge) {
                    mend_bridge(&programs, &bridge_name, &mut faults)?;
                    self.bridges.insert(bridge);
                }
                tc::mend(link, &usable(&programs)?.of_veth())
            });
            match mended {
                Ok(true) => tracing::warn!("{name}: {link} had other filters or none: attached"),
                Ok(false) => {}
                // A link that is gone needs none.
                Err(_) if tc::link_name(endpoint.new.ifindex).is_none() => {}
                Err(error) => {
                    let fault = format!("{name} is not protected, nor others from it: {error:#}");
                    faults.insert(link.clone(), fault);
                }
            }
        }
        self.bridges.retain(|bridge| tc::link_name(*bridge).is_some());
        self.faults = faults;
    }
    // #endregion mend

    /// What could not be attached, by link.
    pub fn faults(&self) -> &BTreeMap<Name, String> {
        &self.faults
    }
}

/// An error as many may get it.
fn usable(programs: &Result<Programs>) -> Result<&Programs> {
    programs.as_ref().map_err(|error| anyhow!("{error:#}"))
}

/// An error goes into the faults, too.
fn mend_bridge(
    programs: &Result<Programs>,
    bridge: &str,
    faults: &mut BTreeMap<Name, String>,
) -> Result<()> {
    match usable(programs).and_then(|programs| tc::mend(bridge, &programs.of_bridge())) {
        Ok(true) => tracing::warn!("{bridge} had another filter or none: attached"),
        Ok(false) => {}
        Err(error) => {
            let fault = format!("egress to the node and the world is not judged: {error:#}");
            faults.insert(bridge.into(), fault.clone());
            bail!(fault);
        }
    }
    Ok(())
}

/// DEL looks for the host end by its name.
fn ensure_named(ifindex: u32, link: &str) -> Result<()> {
    let now = tc::link_name(ifindex).with_context(|| format!("link {link} is gone"))?;
    let is_named = if_nametoindex(link) == Ok(ifindex);
    ensure!(is_named, "its link is called {now} now; run: ip link set {now} name {link}");
    Ok(())
}
