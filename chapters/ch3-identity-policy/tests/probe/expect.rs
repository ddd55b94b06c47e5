//! Who should reach whom, and does it?

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use super::socket::{ALL, Protocol};
use super::{Cluster, DEADLINE, PORTS};

/// Somebody asks somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// A place.
    pub from: String,
    /// A place that serves, or an address such as a Service's.
    pub to: String,
    pub protocol: Protocol,
    pub port: u16,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {:?} {}", self.from, self.to, self.protocol, self.port)
    }
}

impl Attempt {
    pub fn new(from: &str, to: &str, protocol: Protocol, port: u16) -> Self {
        Self { from: from.into(), to: to.into(), protocol, port }
    }
}

/// A pair by every protocol and port.
fn attempts(from: &str, to: &str, allowed: bool) -> impl Iterator<Item = (Attempt, bool)> {
    let each = ALL.into_iter().flat_map(|protocol| PORTS.map(|port| (protocol, port)));
    each.map(move |(protocol, port)| (Attempt::new(from, to, protocol, port), allowed))
}

fn ends(pair: &str) -> (&str, &str) {
    pair.split_once(" > ").unwrap_or_else(|| panic!("{pair:?} is no pair"))
}

impl Cluster {
    /// Asserts that of all pods exactly these do not reach each other: `x/a > y/b`; `*` is every
    /// pod, `x/*` each of x. Itself a pod always reaches.
    #[track_caller]
    pub fn expect_denied(&self, denied: &[&str]) {
        let is = |name: &str, pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let covers = |pair: &str, from: &str, to: &str| {
            let (source, target) = ends(pair);
            is(from, source) && is(to, target)
        };
        self.expect(|from, to| from == to || !denied.iter().any(|pair| covers(pair, from, to)));
    }

    /// Asserts who reaches whom of all pods.
    #[track_caller]
    pub fn expect(&self, is_allowed: impl Fn(&str, &str) -> bool) {
        let mut expected = BTreeMap::new();
        for to in self.pods() {
            for from in self.pods() {
                expected.extend(attempts(from, to, is_allowed(from, to)));
            }
            // The node reaches every pod: so it is known that all servers answer.
            expected.extend(attempts("node", to, true));
        }
        self.verify(&expected);
    }

    /// Asserts for some pairs only, as `from > to`, that one reaches the other or does not. A
    /// Service must be seen to answer somebody; whether a pod does, the node asks.
    #[track_caller]
    pub fn expect_pairs(&self, allowed: &[&str], denied: &[&str]) {
        let mut expected = BTreeMap::new();
        for (pairs, is_allowed) in [(allowed, true), (denied, false)] {
            for (from, to) in pairs.iter().map(|pair| ends(pair)) {
                let mut its: BTreeMap<_, _> = attempts(from, to, is_allowed).collect();
                if self.places.contains_key(to) {
                    its.extend(attempts("node", to, true));
                } else {
                    assert!(allowed.iter().any(|pair| ends(pair).1 == to), "does {to} answer?");
                    // The kernel does not translate SCTP that is made by hand.
                    its.retain(|attempt, _| attempt.protocol != Protocol::Sctp);
                }
                expected.extend(its);
            }
        }
        self.verify(&expected);
    }

    // #region verify
    /// Asserts that each attempt is answered, or does not even get through, from now on.
    #[track_caller]
    pub fn verify(&self, expected: &BTreeMap<Attempt, bool>) {
        self.settle();
        let of = |allowed| expected.iter().filter(move |it| *it.1 == allowed).map(|it| it.0);
        let (denied, allowed): (Vec<_>, Vec<_>) = (of(false).collect(), of(true).collect());
        let start = Instant::now();
        let mut outcome = self.round(&denied, &allowed);
        // A slow machine denies nothing: whoever has not answered is asked again.
        while !outcome.missing.is_empty() && start.elapsed() < DEADLINE {
            outcome.missing = self.round(&[], &outcome.missing).missing;
        }
        for (what, wrong) in [
            ("is to be denied, but gets through", outcome.leaks),
            ("is to be allowed, but is not answered", outcome.missing),
        ] {
            let lines: String = wrong.iter().map(|it| format!("{it} {what}\n")).collect();
            assert!(wrong.is_empty(), "{lines}{}", self.state());
        }
    }
    // #endregion verify

    /// For whoever reads a failure.
    fn state(&self) -> String {
        let ask = |question: &str| {
            self.node.sh(&format!("{} {question}", lab::AGENT)).unwrap_or_else(|it| it.to_string())
        };
        format!("{}{}", ask("endpoint list"), ask("bpf policy get"))
    }
}
