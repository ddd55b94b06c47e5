//! By which ports: what a rule says, and the set of numbers that follows for one pod.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::agent::objects::spec::PolicyPort;
use crate::api::NamedPort;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The IP protocol's number of a name of Kubernetes'.
pub fn protocol(name: &str) -> Option<u8> {
    match name {
        "TCP" => Some(TCP),
        "UDP" => Some(UDP),
        "SCTP" => Some(SCTP),
        _ => None,
    }
}

/// The name of a number of these.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    match number {
        TCP => Some("TCP"),
        UDP => Some("UDP"),
        SCTP => Some("SCTP"),
        _ => None,
    }
}

/// Some ports of a protocol, first and last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The IP protocol's number.
    pub proto: u8,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// What a rule says of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePorts {
    /// Any of these; none: no port at all, or, with all numbers, all of them.
    items: Vec<RulePort>,
    /// What they are without the names.
    numbers: PortSet,
    /// Those of items that say no protocol, and so mean TCP, as if they meant UDP and SCTP.
    assumed: PortSet,
}

/// An item of a rule's `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulePort {
    /// By number.
    Range(Range),
    /// By protocol, and the name that the target's containers have for it.
    Named(u8, String),
}

impl RulePort {
    /// Reads an item. An error says which field is wrong: to guess might allow more than was meant.
    pub fn parse(port: &PolicyPort) -> Result<Self> {
        if let Some(unknown) = port.unknown.keys().next() {
            bail!(": {unknown:?} is not known here");
        }
        let name = port.protocol.as_deref().unwrap_or("TCP");
        let proto = protocol(name);
        let proto =
            proto.with_context(|| format!(".protocol: {name:?} is none of TCP, UDP, SCTP"))?;
        let number = |number: i32, field: &str| match u16::try_from(number) {
            Ok(number) if number > 0 => Ok(number),
            _ => bail!(".{field}: {number} is no port: 1 to 65535"),
        };
        let (first, last) = match (&port.port, port.end_port) {
            (None, None) => (0, u16::MAX),
            (None, Some(_)) => bail!(".endPort: needs a port"),
            (Some(IntOrString::String(name)), None) => {
                return Ok(Self::Named(proto, name.clone()));
            }
            (Some(IntOrString::String(name)), Some(_)) => {
                bail!(".endPort: needs a number as its port, not {name:?}")
            }
            (Some(IntOrString::Int(first)), last) => {
                let first = number(*first, "port")?;
                (first, last.map_or(Ok(first), |last| number(last, "endPort"))?)
            }
        };
        ensure!(first <= last, ".endPort: {last} is less than port {first}");
        Ok(Self::Range(Range { proto, first, last }))
    }
}

impl RulePorts {
    /// A rule that says nothing of ports: all, and protocols without ports too.
    pub const ALL: Self = Self { items: Vec::new(), numbers: PortSet::ALL, assumed: PortSet::NONE };

    /// Reads them; each error says which field is wrong. What is not understood is no port.
    pub fn parse(ports: &[PolicyPort], mut wrong: impl FnMut(String)) -> Self {
        if ports.is_empty() {
            return Self::ALL;
        }
        let (mut items, mut numbers, mut assumed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, port) in ports.iter().enumerate() {
            match RulePort::parse(port) {
                Ok(item) => {
                    if let RulePort::Range(range) = item {
                        numbers.push(range);
                        let others = [UDP, SCTP].map(|proto| Range { proto, ..range });
                        assumed.extend(others.iter().filter(|_| port.protocol.is_none()));
                    }
                    items.push(item);
                }
                Err(error) => wrong(format!(".ports[{index}]{error:#}")),
            }
        }
        Self { items, numbers: PortSet::of(numbers), assumed: PortSet::of(assumed) }
    }

    /// Is nothing left of what it says?
    pub fn is_nothing(&self) -> bool {
        self.items.is_empty() && !self.numbers.is_all()
    }

    /// The numbers, where `target` is what the target's containers call theirs.
    pub fn resolve(&self, target: &BTreeSet<NamedPort>) -> Cow<'_, PortSet> {
        let is_named = |port: &&NamedPort| {
            let is_it = |item: &RulePort| {
                matches!(item, RulePort::Named(protocol, name)
                    if *protocol == port.protocol && *name == port.name)
            };
            self.items.iter().any(is_it)
        };
        let mut named = target.iter().filter(is_named).map(|port| Range {
            proto: port.protocol,
            first: port.number,
            last: port.number,
        });
        let Some(first) = named.next() else { return Cow::Borrowed(&self.numbers) };
        let mut set = PortSet::of([first].into_iter().chain(named).collect());
        set.extend(&self.numbers);
        Cow::Owned(set)
    }

    /// The numbers alone: of what is no pod nobody knows how it calls its ports.
    pub fn numbers(&self) -> &PortSet {
        &self.numbers
    }

    /// What it may have been meant to allow, and does not: it says no protocol, and means TCP.
    pub fn assumed(&self) -> &PortSet {
        &self.assumed
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| match item {
            RulePort::Named(_, name) => Some(name.as_str()),
            RulePort::Range(_) => None,
        })
    }
}

/// In words: `80/TCP, http/TCP`.
impl fmt::Display for RulePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.numbers.is_all() {
            return f.write_str("ANY");
        }
        let words: Vec<_> = self.items.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

impl fmt::Display for RulePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Named(proto, name) => {
                write!(f, "{name}/{}", protocol_name(*proto).unwrap_or("?"))
            }
        }
    }
}

/// As Cilium writes them: `80/TCP`, `1000-2000/UDP`, `ANY/UDP`.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (0, u16::MAX) => write!(f, "ANY")?,
            (first, last) if first == last => write!(f, "{first}")?,
            (first, last) => write!(f, "{first}-{last}")?,
        }
        write!(f, "/{}", protocol_name(self.proto).unwrap_or("?"))
    }
}

/// A set of ports of several protocols. Equal contents are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet {
    all: bool,
    /// In order, and neither overlapping nor touching.
    ranges: Vec<Range>,
}

impl PortSet {
    /// All ports of all protocols, and protocols without ports.
    pub const ALL: Self = Self { all: true, ranges: Vec::new() };

    /// Nothing.
    pub const NONE: Self = Self { all: false, ranges: Vec::new() };

    /// These ranges.
    pub fn of(ranges: Vec<Range>) -> Self {
        let mut set = Self { all: false, ranges };
        set.normalize();
        set
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Is everything in it?
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Is this port of this protocol in it? `None`: a protocol without ports.
    pub fn has(&self, port: Option<(u8, u16)>) -> bool {
        let is_in = |(proto, port): (u8, u16)| {
            self.ranges
                .iter()
                .any(|range| range.proto == proto && (range.first..=range.last).contains(&port))
        };
        self.all || port.is_some_and(is_in)
    }

    /// Takes in another set.
    pub fn extend(&mut self, other: &Self) {
        if self.all || other.is_empty() {
            return;
        }
        if other.all {
            *self = Self::ALL;
        } else if self.ranges.is_empty() {
            self.ranges.clone_from(&other.ranges);
        } else {
            self.ranges.extend(&other.ranges);
            self.normalize();
        }
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> Self {
        if self.all || other.all {
            return if self.all { other.clone() } else { self.clone() };
        }
        let both =
            self.ranges.iter().flat_map(|ours| other.ranges.iter().map(move |its| (ours, its)));
        let common = both.filter(|(ours, its)| ours.proto == its.proto).map(|(ours, its)| Range {
            proto: ours.proto,
            first: ours.first.max(its.first),
            last: ours.last.min(its.last),
        });
        Self::of(common.filter(|range| range.first <= range.last).collect())
    }

    /// Does it say nothing that the other does not?
    pub fn is_within(&self, other: &Self) -> bool {
        let has = |range: &Range| {
            let mut its = other.ranges.iter().filter(|it| it.proto == range.proto);
            its.any(|it| it.first <= range.first && range.last <= it.last)
        };
        other.all || (!self.all && self.ranges.iter().all(has))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    fn normalize(&mut self) {
        self.ranges.sort_unstable();
        let mut merged: Vec<Range> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match merged.last_mut() {
                Some(last)
                    if last.proto == range.proto
                        && u32::from(range.first) <= u32::from(last.last) + 1 =>
                {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        self.ranges = merged;
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return f.write_str("ANY");
        }
        let words: Vec<_> = self.ranges.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

// #region prefixes
/// A range as prefixes: port and bits that count. The largest aligned block that begins at the
/// first port and ends within the range is one; then what is left. At most 30.
pub fn prefixes(range: Range) -> impl Iterator<Item = (u16, u32)> + Clone {
    let (mut next, end) = (u32::from(range.first), u32::from(range.last) + 1);
    std::iter::from_fn(move || {
        let left = end.checked_sub(next).filter(|left| *left > 0)?;
        let aligned = next.trailing_zeros().min(16);
        let free = aligned.min(left.ilog2()); // bits of the port that do not count
        let prefix = (next as u16, 16 - free);
        next += 1 << free;
        Some(prefix)
    })
}
// #endregion prefixes

#[cfg(test)]
mod tests;
