//! The networks that have leases beside ours, in the same `leaseDir`: others of this node, or ours
//! under the `name` that the configuration had before.

use std::fs;

use anyhow::{Context as _, Result};

use crate::args::is_identifier;
use crate::config::Network;
use crate::lease::{self, Lease};

/// The network that has a host link's lease: `network`, if it is not one beside it.
pub fn owner(network: &Network, host_link: &str) -> Result<Network> {
    let has = |network: &Network| -> Result<bool> {
        let is_its = |lease: &Lease| lease.host_link == host_link;
        Ok(network.lease_dir.is_dir() && lease::list(&network.lease_dir)?.iter().any(is_its))
    };
    if has(network)? {
        return Ok(network.clone());
    }
    for other in others(network)? {
        if has(&other)? {
            return Ok(other);
        }
    }
    Ok(network.clone())
}

/// All leases of the networks beside this one.
pub fn leases_of_others(network: &Network) -> Result<Vec<Lease>> {
    let leases = others(network)?.into_iter().map(|other| lease::list(&other.lease_dir));
    Ok(leases.collect::<Result<Vec<_>>>()?.concat())
}

fn others(network: &Network) -> Result<Vec<Network>> {
    let parent = network.lease_dir.parent().context("leaseDir is no directory")?;
    let entries = match fs::read_dir(parent) {
        Err(_) if !parent.is_dir() => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", parent.display()))?,
    };
    let mut others = Vec::new();
    for entry in entries {
        let (name, lease_dir) = entry.map(|it| (it.file_name(), it.path()))?;
        let name = name.to_str().filter(|name| is_identifier(name) && *name != network.name);
        if let Some(name) = name.filter(|_| lease_dir.is_dir()) {
            others.push(Network { name: name.into(), lease_dir, ..network.clone() });
        }
    }
    Ok(others)
}
