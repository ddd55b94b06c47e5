//! Sets of ports: numbers of several protocols, and the prefixes by which the kernel finds them.

use std::fmt;

/// The IP protocols' numbers.
pub const TCP: u8 = 6;
/// As above.
pub const UDP: u8 = 17;
/// As above.
pub const SCTP: u8 = 132;

/// As Kubernetes calls them.
const NAMES: [(u8, &str); 3] = [(TCP, "TCP"), (UDP, "UDP"), (SCTP, "SCTP")];

/// The IP protocol's number of a name of Kubernetes'.
pub fn protocol(name: &str) -> Option<u8> {
    NAMES.iter().find(|it| it.1 == name).map(|it| it.0)
}

/// The name of a number of these.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    NAMES.iter().find(|it| it.0 == number).map(|it| it.1)
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
        let has = |range: &Range, (proto, port): (u8, u16)| {
            range.proto == proto && (range.first..=range.last).contains(&port)
        };
        self.all || port.is_some_and(|port| self.ranges.iter().any(|range| has(range, port)))
    }

    /// Takes in another set.
    pub fn extend(&mut self, other: &Self) {
        if self.all || other.all {
            *self = Self::ALL;
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
        // What overlaps or touches the one before it becomes a part of that.
        self.ranges.dedup_by(|range, before| {
            let meets =
                range.proto == before.proto && u32::from(range.first) <= u32::from(before.last) + 1;
            if meets {
                before.last = before.last.max(range.last);
            }
            meets
        });
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
