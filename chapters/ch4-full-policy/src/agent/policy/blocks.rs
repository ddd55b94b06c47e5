//! From or to where: `ipBlock`s, and the table of prefixes that follows from several of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::{IpNet, Ipv4Net};

use super::ports::PortSet;
use crate::agent::objects::spec::IpBlock;

/// An `ipBlock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `None`: of IPv6, and no address here is in it.
    cidr: Option<Ipv4Net>,
    except: Vec<Ipv4Net>,
}

impl Block {
    /// Reads one. An error says which field is wrong.
    pub fn parse(block: &IpBlock) -> Result<Self> {
        if let Some(unknown) = block.unknown.keys().next() {
            bail!(": {unknown:?} is not known here");
        }
        let read = |text: &str, field: &str| {
            let net = text.parse::<IpNet>();
            net.map(|net| net.trunc()).with_context(|| format!(".{field}: {text:?} is no CIDR"))
        };
        let cidr = read(&block.cidr, "cidr")?;
        let mut except = Vec::new();
        for (index, text) in block.except.iter().flatten().enumerate() {
            let field = format!("except[{index}]");
            let net = read(text, &field)?;
            ensure!(
                cidr.contains(&net) && cidr != net,
                ".{field}: {text} is no part of {}",
                block.cidr
            );
            except.extend(v4(net));
        }
        Ok(Self { cidr: v4(cidr), except })
    }

    /// Is an address in it?
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.cidr.is_some_and(|cidr| cidr.contains(&address)) && self.exception(address).is_none()
    }

    /// The `except` that an address is in.
    pub fn exception(&self, address: Ipv4Addr) -> Option<&Ipv4Net> {
        self.except.iter().find(|except| except.contains(&address))
    }
}

fn v4(net: IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

/// In words: `10.0.0.0/8 except 10.1.0.0/16`.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cidr) = self.cidr else { return f.write_str("an IPv6 block") };
        write!(f, "{cidr}")?;
        let except: Vec<_> = self.except.iter().map(ToString::to_string).collect();
        if except.is_empty() { Ok(()) } else { write!(f, " except {}", except.join(", ")) }
    }
}

/// By which ports each prefix is allowed: as in a routing table the longest one decides.
pub type BlockSet = BTreeMap<Ipv4Net, PortSet>;

// #region table
/// The table of these blocks, each with its ports. Of several prefixes around an address only the
/// longest is found, so each says what all blocks allow that hold it and do not except it.
pub fn table(blocks: &[(&Block, PortSet)]) -> BlockSet {
    // What begins and what ends at each prefix. In this order one comes after all that hold it.
    let mut prefixes: BTreeMap<Ipv4Net, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (index, (block, ports)) in blocks.iter().enumerate() {
        let Some(cidr) = block.cidr.filter(|_| !ports.is_empty()) else { continue };
        prefixes.entry(cidr).or_default().0.push(index);
        for except in &block.except {
            prefixes.entry(*except).or_default().1.push(index);
        }
    }
    let mut table = BlockSet::new();
    // The prefixes around the current one, each with the blocks that count in it, and their ports.
    let mut around: Vec<(Ipv4Net, Vec<usize>, PortSet)> = Vec::new();
    for (prefix, (begin, end)) in prefixes {
        while around.last().is_some_and(|(outer, ..)| !outer.contains(&prefix)) {
            around.pop();
        }
        let (outer, outer_ports) = match around.last() {
            Some((_, blocks, ports)) => (blocks.clone(), ports.clone()),
            None => Default::default(),
        };
        let inside = outer.into_iter().chain(begin).filter(|index| !end.contains(index));
        let inside: Vec<_> = inside.collect();
        let mut ports = PortSet::default();
        inside.iter().for_each(|index| ports.extend(&blocks[*index].1));
        if ports != outer_ports {
            table.insert(prefix, ports.clone());
        }
        around.push((prefix, inside, ports));
    }
    table
}
// #endregion table

#[cfg(test)]
mod tests;
