//! By which ports: what a rule says.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::ports::{PortSet, Range, SCTP, UDP, protocol, protocol_name};
use crate::agent::objects::spec::PolicyPort;
use crate::api::NamedPort;

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
        let unknown = || format!(".protocol: {name:?} is none of TCP, UDP, SCTP");
        let proto = protocol(name).with_context(unknown)?;
        let number = |number: i32, field: &str| match u16::try_from(number) {
            Ok(number) if number > 0 => Ok(number),
            _ => bail!(".{field}: {number} is no port: 1 to 65535"),
        };
        let (first, last) = match (&port.port, port.end_port) {
            (None, None) => (0, u16::MAX),
            (None, Some(_)) => bail!(".endPort: needs a port"),
            (Some(IntOrString::String(name)), None) => return Ok(Self::Named(proto, name.clone())),
            (Some(IntOrString::String(name)), Some(_)) => {
                bail!(".endPort: needs a number as its port, not {name:?}")
            }
            (Some(IntOrString::Int(first)), last) => {
                (number(*first, "port")?, number(last.unwrap_or(*first), "endPort")?)
            }
        };
        ensure!(first <= last, ".endPort: {last} is less than port {first}");
        Ok(Self::Range(Range { proto, first, last }))
    }
}

impl RulePorts {
    /// Reads them; each error says which field is wrong. What is not understood is no port.
    pub fn parse(ports: &[PolicyPort], mut wrong: impl FnMut(String)) -> Self {
        if ports.is_empty() {
            // All of them, and protocols without ports too.
            return Self { items: Vec::new(), numbers: PortSet::ALL, assumed: PortSet::NONE };
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
            self.items.contains(&RulePort::Named(port.protocol, port.name.clone()))
        };
        let named = target.iter().filter(is_named).map(|port| (port.protocol, port.number));
        let range = |(proto, number)| Range { proto, first: number, last: number };
        let mut ranges: Vec<_> = named.map(range).collect();
        if ranges.is_empty() {
            return Cow::Borrowed(&self.numbers);
        }
        ranges.extend(self.numbers.ranges());
        Cow::Owned(PortSet::of(ranges))
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
