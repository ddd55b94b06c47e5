//! What people write with iptables, ipset and nft.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::Node;

use super::pairs::{PORT, Pairs};

/// One way to write the pairs down.
#[derive(Debug, Clone, Copy)]
pub enum Rules {
    /// A rule for each pair, by this iptables: `legacy` or `nft`.
    Chain(&'static str),
    /// One rule, and an ipset of this type.
    IpSet(&'static str),
    /// One rule, and a set of nftables.
    NftSet,
}

/// An iptables that has the kernel's own tables: ipset's match is of them.
const LEGACY: &str = "legacy";
/// Pairs of networks are what fits; kernels that lack them have the other one. (A `hash:ip,ip`
/// there is not.)
const SET_TYPES: [&str; 2] = ["hash:net,net", "hash:ip,port,ip"];

impl Rules {
    /// All that this machine has.
    pub fn available() -> Result<Vec<Self>> {
        let node = Node::new()?;
        let works = |script: &str| node.sh(&format!("({script}) >/dev/null 2>&1")).is_ok();
        let mut all = Vec::new();
        for kind in [LEGACY, "nft"] {
            let there = works(&format!("iptables-{kind} -nL FORWARD"));
            all.extend(there.then_some(Self::Chain(kind)));
        }
        let set = SET_TYPES.into_iter().find(|it| works(&format!("ipset create probe {it}")));
        all.extend(set.map(Self::IpSet));
        all.extend(works("nft list ruleset").then_some(Self::NftSet));
        ensure!(
            !all.is_empty(),
            "neither iptables nor nft work here: apt install iptables nftables"
        );
        Ok(all)
    }

    /// In the tables.
    pub fn name(&self) -> String {
        match self {
            Self::Chain(kind) => format!("iptables-{kind}, chain"),
            Self::IpSet(kind) => format!("iptables-{LEGACY}, ipset {kind}"),
            Self::NftSet => "nft, set".into(),
        }
    }

    /// How many there are.
    pub fn entries(&self, pairs: &Pairs) -> String {
        match self {
            Self::Chain(_) => format!("{} rules", pairs.count() + 2),
            _ => format!("3 rules, {} elements", pairs.count()),
        }
    }

    /// Takes away what was there, and installs.
    pub fn install(&self, node: &Node, pairs: &Pairs) -> Result<Duration> {
        match self {
            Self::Chain(kind) => {
                let rules =
                    pairs.lines(|from, to| format!("-A FORWARD -s {from} -d {to} -j ACCEPT\n"));
                feed(node, &[&format!("iptables-{kind}-restore")], &table(&rules))
            }
            Self::IpSet(kind) => {
                let is_pair = if *kind == SET_TYPES[0] { "src,dst" } else { "src,dst,dst" };
                let rule = format!("-A FORWARD -m set --match-set pairs {is_pair} -j ACCEPT\n");
                // The rule holds the old set.
                node.sh(&format!(
                    "iptables-{LEGACY} -F FORWARD; ipset destroy pairs 2>/dev/null || :"
                ))?;
                let elements =
                    pairs.lines(|from, to| format!("add pairs {}\n", self.element(from, to)));
                let set = format!("create pairs {kind} maxelem 131072\n{elements}");
                let filled = feed(node, &["ipset", "restore"], &set)?;
                Ok(filled + feed(node, &[&format!("iptables-{LEGACY}-restore")], &table(&rule))?)
            }
            Self::NftSet => {
                let elements = pairs.lines(|from, to| format!("{},", self.element(from, to)));
                let text = format!(
                    "table ip pairs\ndelete table ip pairs\ntable ip pairs {{
                       set pairs {{ type ipv4_addr . ipv4_addr; elements = {{ {elements} }} }}
                       chain forward {{
                         type filter hook forward priority filter
                         ct state established counter accept
                         ip saddr . ip daddr @pairs counter accept
                         counter drop
                       }}
                     }}\n"
                );
                feed(node, &["nft", "-f", "-"], &text)
            }
        }
    }

    /// Lets one more source reach all destinations.
    pub fn one_more(&self, node: &Node, pairs: &Pairs) -> Result<Duration> {
        let element = |from: &Ipv4Addr, to: &Ipv4Addr| self.element(from, to);
        match self {
            Self::Chain(kind) => {
                let place = pairs.count() + 2; // before the last
                let rules = pairs.new_lines(|from, to| {
                    format!("-I FORWARD {place} -s {from} -d {to} -j ACCEPT\n")
                });
                let restore = format!("iptables-{kind}-restore");
                feed(node, &[&restore, "--noflush"], &format!("*filter\n{rules}COMMIT\n"))
            }
            Self::IpSet(_) => {
                let elements =
                    pairs.new_lines(|from, to| format!("add pairs {}\n", element(from, to)));
                feed(node, &["ipset", "restore"], &elements)
            }
            Self::NftSet => {
                let elements = pairs.new_lines(|from, to| format!("{},", element(from, to)));
                feed(
                    node,
                    &["nft", "-f", "-"],
                    &format!("add element ip pairs pairs {{ {elements} }}\n"),
                )
            }
        }
    }

    fn element(&self, from: &Ipv4Addr, to: &Ipv4Addr) -> String {
        match self {
            Self::IpSet(kind) if *kind == SET_TYPES[0] => format!("{from},{to}"),
            Self::IpSet(_) => format!("{from},udp:{PORT},{to}"),
            _ => format!("{from} . {to}"),
        }
    }

    /// Packets of ESTABLISHED, of the last pair (or of the set), and of what was dropped.
    pub fn counters(&self, node: &Node, pairs: &Pairs) -> Result<[u64; 3]> {
        let numbers = match self {
            Self::NftSet => node
                .sh("nft list chain ip pairs forward | grep -o 'packets [0-9]*' | cut -d' ' -f2")?,
            _ => {
                let (kind, last) = match self {
                    Self::Chain(kind) => (*kind, pairs.count() + 1),
                    _ => (LEGACY, 2),
                };
                let places = format!("1 {last} {}", last + 1);
                node.sh(&format!(
                    "for i in {places}; do iptables-{kind} -nvxL FORWARD $i | awk '{{print $1}}'; done"
                ))?
            }
        };
        let numbers: Vec<u64> = numbers.lines().filter_map(|it| it.parse().ok()).collect();
        numbers.try_into().ok().context("there are not three counters")
    }
}

/// The filter table, with ESTABLISHED first and a drop at the end.
fn table(rules: &str) -> String {
    format!(
        "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n{rules}-A FORWARD -j DROP\nCOMMIT\n"
    )
}

/// Runs a program that reads all of this; the time that it takes.
fn feed(node: &Node, argv: &[&str], text: &str) -> Result<Duration> {
    let mut command = node.command(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {argv:?}"))?;
    child.stdin.take().context("no pipe")?.write_all(text.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{argv:?}: {status}");
    Ok(start.elapsed())
}
