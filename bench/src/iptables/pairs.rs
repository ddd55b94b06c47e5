//! Who may talk to whom: each of N sources to each of M destinations.

use std::net::Ipv4Addr;

/// The server's port: the ipset may have one in its pairs.
pub const PORT: u16 = 4000;

/// All sources and destinations; the last ones are the pods that are measured.
#[derive(Debug)]
pub struct Pairs {
    /// N.
    pub sources: Vec<Ipv4Addr>,
    /// M.
    pub destinations: Vec<Ipv4Addr>,
    /// A source that may come on top.
    pub one_more: Ipv4Addr,
}

impl Pairs {
    /// So many, with these two at the end.
    pub fn new((sources, destinations): (u32, u32), ends: [Ipv4Addr; 2]) -> Self {
        let list = |from: Ipv4Addr, count: u32, last| {
            let others = (1..count).map(|it| (u32::from(from) + it).into());
            others.chain([last]).collect()
        };
        Self {
            sources: list(Ipv4Addr::new(10, 64, 0, 0), sources, ends[0]),
            destinations: list(Ipv4Addr::new(10, 65, 0, 0), destinations, ends[1]),
            one_more: Ipv4Addr::new(10, 66, 0, 1),
        }
    }

    /// N × M.
    pub fn count(&self) -> usize {
        self.sources.len() * self.destinations.len()
    }

    /// A line for each pair.
    pub fn lines(&self, line: impl Fn(&Ipv4Addr, &Ipv4Addr) -> String) -> String {
        let of = |source| self.destinations.iter().map(move |destination| (source, destination));
        self.sources.iter().flat_map(of).map(|(from, to)| line(from, to)).collect()
    }

    /// A line for each pair that the one more source brings.
    pub fn new_lines(&self, line: impl Fn(&Ipv4Addr, &Ipv4Addr) -> String) -> String {
        self.destinations.iter().map(|to| line(&self.one_more, to)).collect()
    }
}
