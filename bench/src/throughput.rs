//! TCP between two pods of one node: what do chapter 3's programs cost?

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec, warn};

use crate::echo;
use crate::report::{Cell, Report, Table};
use crate::times::{Times, median};

const CHAPTERS: [&str; 3] = ["ch1", "ch2", "ch3"];
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

/// One chapter on a node of its own.
struct Contender {
    node: Node,
    client: Pod,
    server: Pod,
    streams: Vec<f64>,
    trips: Times,
}

impl Contender {
    fn new(chapter: &str) -> Result<Self> {
        let node = Node::new()?;
        chapter::install(&node, chapter, Profile::Release)?;
        if chapter == "ch3" {
            node.apply(CLIENTS_ONLY)?;
        }
        let run = |name: &str| node.run_pod(PodSpec::new(name).label("app", name));
        let [client, server, stranger] = [run("client")?, run("server")?, run("stranger")?];
        // ADD waits for the policy to be in the maps.
        let open = echo::tcp(&node, &stranger, &server).is_ok();
        ensure!(open != (chapter == "ch3"), "{chapter}: the stranger gets in: {open}");
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
    let mut contenders = CHAPTERS.map(Contender::new).into_iter().collect::<Result<Vec<_>>>()?;
    for round in 0..rounds {
        warn(format_args!("round {} of {rounds} …", round + 1));
        let count = contenders.len();
        for nth in 0..count {
            contenders[(round + nth) % count].round()?;
        }
    }
    let columns = ["chapter", "Gbit/s, median", "min", "max", "1 byte, p50 µs", "p99 µs"];
    let mut table = Table::new("throughput", &columns);
    for (chapter, it) in CHAPTERS.iter().zip(&contenders) {
        let gbits = |bytes: f64| Cell::Number(bytes * 8.0 / 1e9, 2);
        let min = it.streams.iter().copied().fold(f64::INFINITY, f64::min);
        let max = it.streams.iter().copied().fold(0.0, f64::max);
        let [p50, p99] = [0.5, 0.99].map(|quantile| Cell::Number(it.trips.us(quantile), 1));
        table.row([
            (*chapter).into(),
            gbits(median(&it.streams)),
            gbits(min),
            gbits(max),
            p50,
            p99,
        ]);
    }
    let mut claims = Table::claims();
    let [ch1, ch2, ch3] = [0, 1, 2].map(|nth: usize| &contenders[nth]);
    let throughput = |it: &Contender| median(&it.streams);
    claims.at_least("throughput, chapter 3 / chapter 1", throughput(ch3) / throughput(ch1), 0.95);
    let pairs = ch3.streams.iter().zip(&ch1.streams);
    let paired: Vec<_> = pairs.map(|(ch3, ch1)| ch3 / ch1).collect();
    claims.figure("the same, median of the rounds' ratios", median(&paired));
    claims.figure("throughput, chapter 2 / chapter 1", throughput(ch2) / throughput(ch1));
    claims.figure("round trip, p50, chapter 3 / chapter 1", ch3.trips.us(0.5) / ch1.trips.us(0.5));
    claims.figure("round trip, p50, chapter 2 / chapter 1", ch2.trips.us(0.5) / ch1.trips.us(0.5));
    let notes = vec![
        format!(
            "Each round: a stream of {STREAM:?} from one CPU to another, and {TRIPS} round trips \
             of 1 byte on one CPU; each chapter on a node of its own, in rotating turns; ratios \
             are of medians."
        ),
        "Chapter 3 with its agent, and a policy that isolates the server and lets in the client. \
         Asserted: a stranger reaches the server on chapters 1 and 2, and not on chapter 3."
            .into(),
    ];
    Ok(Report { rounds, tables: vec![table, claims], notes })
}
