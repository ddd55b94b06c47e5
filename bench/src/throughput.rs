//! TCP between two pods of one node: what do the programs of chapters 3 and 4 cost?

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec, warn};

use crate::echo;
use crate::report::{Cell, Report, Table};
use crate::times::{Times, median};

/// What is in the tables, the chapter, and its policies.
const CONTENDERS: [(&str, &str, &str); 5] = [
    ("chapter 1", "ch1", ""),
    ("chapter 2", "ch2", ""),
    ("chapter 3", "ch3", CLIENTS_ONLY),
    ("chapter 4", "ch4", CLIENTS_ONLY),
    ("chapter 4, ports and egress", "ch4", PORTS_ONLY),
];
/// How long a round's stream lasts.
const STREAM: Duration = Duration::from_millis(500);
/// Round trips for each round.
const TRIPS: usize = 2_000;

/// Isolates the server and lets in the client.
const CLIENTS_ONLY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: clients-only }
spec:
  podSelector: { matchLabels: { app: server } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }] }]
";

/// The same by ports, of which there are six prefixes; and the client gets to the server only.
const PORTS_ONLY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: clients-only }
spec:
  podSelector: { matchLabels: { app: server } }
  ingress:
  - from: [{ podSelector: { matchLabels: { app: client } } }]
    ports: [{ port: 1024, endPort: 65535 }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: server-only }
spec:
  podSelector: { matchLabels: { app: client } }
  policyTypes: [Egress]
  egress:
  - to: [{ podSelector: { matchLabels: { app: server } } }]
    ports: [{ port: 1024, endPort: 65535 }]
";

/// One chapter on a node of its own.
struct Contender {
    node: Node,
    client: Pod,
    server: Pod,
    streams: Vec<f64>,
    trips: Times,
}

impl Contender {
    fn new((name, chapter, policies): (&str, &str, &str)) -> Result<Self> {
        let node = Node::new()?;
        chapter::install(&node, chapter, Profile::Release)?;
        if !policies.is_empty() {
            node.apply(policies)?;
        }
        let run = |name: &str| node.run_pod(PodSpec::new(name).label("app", name));
        let [client, server, stranger] = [run("client")?, run("server")?, run("stranger")?];
        // ADD waits for the policy to be in the maps.
        let open = echo::tcp(&node, &stranger, &server).is_ok();
        ensure!(open == policies.is_empty(), "{name}: the stranger gets in: {open}");
        Ok(Self { node, client, server, streams: Vec::new(), trips: Times::new()? })
    }

    fn round(&mut self) -> Result<()> {
        let connect = || echo::tcp(&self.node, &self.client, &self.server);
        self.streams.push(echo::stream(connect()?, STREAM)?);
        let trips = echo::round_trips(connect()?, TRIPS)?;
        trips.into_iter().try_for_each(|time| self.trips.record(time))
    }
}

/// So many rounds of each, in turns.
pub fn run(rounds: usize) -> Result<Report> {
    let mut contenders = CONTENDERS.map(Contender::new).into_iter().collect::<Result<Vec<_>>>()?;
    for round in 0..rounds {
        warn(format_args!("round {} of {rounds} …", round + 1));
        let count = contenders.len();
        for nth in 0..count {
            contenders[(round + nth) % count].round()?;
        }
    }
    let columns = ["chapter", "Gbit/s, median", "min", "max", "1 byte, p50 µs", "p99 µs"];
    let mut table = Table::new("throughput", &columns);
    for ((name, ..), it) in CONTENDERS.iter().zip(&contenders) {
        let gbits = |bytes: f64| Cell::Number(bytes * 8.0 / 1e9, 2);
        let min = it.streams.iter().copied().fold(f64::INFINITY, f64::min);
        let max = it.streams.iter().copied().fold(0.0, f64::max);
        let [p50, p99] = [0.5, 0.99].map(|quantile| Cell::Number(it.trips.us(quantile), 1));
        table.row([(*name).into(), gbits(median(&it.streams)), gbits(min), gbits(max), p50, p99]);
    }
    let mut claims = Table::claims();
    let [ch1, ch2, ch3, ch4, full] = [0, 1, 2, 3, 4].map(|nth: usize| &contenders[nth]);
    let throughput = |it: &Contender| median(&it.streams);
    claims.at_least("throughput, chapter 3 / chapter 1", throughput(ch3) / throughput(ch1), 0.95);
    let rounds_ratio = |it: &Contender, to: &Contender| {
        let pairs = it.streams.iter().zip(&to.streams);
        median(&pairs.map(|(its, theirs)| its / theirs).collect::<Vec<_>>())
    };
    claims.figure("the same, median of the rounds' ratios", rounds_ratio(ch3, ch1));
    for (it, name) in [(ch4, "chapter 4"), (full, "chapter 4 with ports and egress")] {
        for (to, other) in [(ch3, "chapter 3"), (ch1, "chapter 1")] {
            claims
                .figure(&format!("throughput, {name} / {other}"), throughput(it) / throughput(to));
            claims.figure("the same, median of the rounds' ratios", rounds_ratio(it, to));
            let trips = it.trips.us(0.5) / to.trips.us(0.5);
            claims.figure(&format!("round trip, p50, {name} / {other}"), trips);
        }
    }
    claims.figure("throughput, chapter 2 / chapter 1", throughput(ch2) / throughput(ch1));
    claims.figure("round trip, p50, chapter 3 / chapter 1", ch3.trips.us(0.5) / ch1.trips.us(0.5));
    claims.figure("round trip, p50, chapter 2 / chapter 1", ch2.trips.us(0.5) / ch1.trips.us(0.5));
    let notes = vec![
        format!(
            "Each round: a stream of {STREAM:?} from one CPU to another, and {TRIPS} round trips \
             of 1 byte on one CPU; each chapter on a node of its own, in rotating turns; ratios \
             are of medians."
        ),
        "Chapters 3 and 4 with their agents, and a policy that isolates the server and lets in the \
         client; and once more by ports, where the client gets nowhere else. Asserted: a stranger \
         reaches the server on chapters 1 and 2, and not on the others."
            .into(),
    ];
    Ok(Report { rounds, tables: vec![table, claims], notes })
}
