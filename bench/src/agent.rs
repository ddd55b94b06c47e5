//! The agents' memory, and their time for a large cluster: chapter 4's beside chapter 3's.

mod process;

use std::time::Duration;

use anyhow::Result;
use lab::chapter::{self, Profile};
use lab::{Node, Pod, warn};

use crate::churn;
use crate::cluster::Size;
use crate::policy::{Few, run_pods, table};
use crate::report::{Report, Table};
use crate::times::{Lag, Times, add, ms};
use process::{cpu, empty_maps, parse, row, start};

const SMALL: Size = Size { namespaces: 2, deployments: 4, pods: 0, policies: 4, full: false };
const LARGE: Size =
    Size { namespaces: 20, deployments: 10, pods: 10_000, policies: 500, full: false };
/// Pods of this node beside client and server.
const HERE: u32 = 18;
/// How often each change is made in a round.
const CHANGES: usize = 50;

/// A chapter and its name in the tables.
type Chapter = (&'static str, &'static str);
const CHAPTERS: [Chapter; 2] = [("ch3", "chapter 3"), ("ch4", "chapter 4")];

/// A large cluster, seen from a node of one chapter.
struct Cluster {
    chapter: Chapter,
    node: Node,
    pods: [Pod; 2],
    /// Starts with empty maps, and again.
    starts: [Times; 2],
    /// What the former take of a CPU.
    cpu: Times,
    read: f64,
    parsed: f64,
    lags: Vec<Lag>,
    few: Few,
    few_lags: Vec<Lag>,
}

impl Cluster {
    fn new(chapter: Chapter) -> Result<Self> {
        let node = Node::new()?;
        let full = chapter.0 == "ch4";
        chapter::install(&node, chapter.0, Profile::Release)?; // a start that loads the programs
        let pods = [node.run_pod(churn::client())?, node.run_pod(churn::server())?];
        run_pods(&node, &LARGE, HERE)?;
        node.stop_agent()?;
        Size { full, ..LARGE }.write(&node)?;
        let (read, parsed) = parse(&node, chapter.0)?;
        let (starts, cpu) = ([Times::new()?, Times::new()?], Times::new()?);
        let few = Few::new(chapter.0, full)?;
        let (lags, few_lags) = Default::default();
        Ok(Self { chapter, node, pods, starts, cpu, read, parsed, lags, few, few_lags })
    }

    /// One start with empty maps and one with what the first has left there; then the changes.
    fn round(&mut self) -> Result<()> {
        self.node.stop_agent()?;
        self.node.enter(empty_maps)??;
        self.starts[0].record(start(&self.node)?)?;
        self.cpu.record(cpu(&self.node)?)?;
        self.node.stop_agent()?;
        self.starts[1].record(start(&self.node)?)?;
        let [client, server] = &self.pods;
        add(&mut self.lags, churn::run(&self.node, self.chapter.0, client, server, CHANGES)?)?;
        add(&mut self.few_lags, self.few.changes(CHANGES)?)
    }
}

/// Starts of the agents with a large cluster; changes there and in a small one.
pub fn run(rounds: usize) -> Result<Report> {
    let columns = [
        "cluster",
        "agent",
        "VmRSS MiB",
        "Pss MiB",
        "RssAnon MiB",
        "VmHWM MiB",
        "identities",
        "endpoint_map",
        "policy_map",
        "port_map",
        "block_map",
    ];
    let mut sizes = Table::new("agent", &columns);
    let mut claims = Table::claims();
    for (chapter, name) in CHAPTERS {
        let small = Node::new()?;
        chapter::install(&small, chapter, Profile::Release)?;
        SMALL.write(&small)?;
        run_pods(&small, &SMALL, 10)?;
        std::thread::sleep(Duration::from_secs(2));
        let resident = row(&mut sizes, &small, ["10 pods here", name])?;
        claims.at_most(&format!("VmRSS with ten pods, {name}, MiB"), resident, 20.0);
    }
    let mut clusters = CHAPTERS.map(Cluster::new).into_iter().collect::<Result<Vec<_>>>()?;
    for round in 0..rounds {
        warn(format_args!("round {} of {rounds} …", round + 1));
        for nth in 0..CHAPTERS.len() {
            clusters[(round + nth) % CHAPTERS.len()].round()?;
        }
    }
    let mut starts = Table::new(
        "starts",
        &[
            "agent",
            "empty maps, p50 ms",
            "CPU, p50 ms",
            "again, p50 ms",
            "reading manifests",
            "parsing them",
        ],
    );
    for (it, mark) in clusters.iter().zip([60.0, 90.0]) {
        let [empty, again] = [0, 1].map(|nth: usize| ms(it.starts[nth].ms(0.5)));
        starts.row([
            it.chapter.1.into(),
            empty,
            ms(it.cpu.ms(0.5)),
            again,
            ms(it.read),
            ms(it.parsed),
        ]);
        let resident = row(&mut sizes, &it.node, ["10,000 pods", it.chapter.1])?;
        claims.at_most(&format!("VmRSS with 10,000 pods, {}, MiB", it.chapter.1), resident, mark);
    }
    compare(&clusters, &mut claims);
    let notes = vec![
        "10,000 pods: of other nodes, 200 sets of labels in 20 namespaces, two revisions, with \
         owners and annotations; 500 policies, for chapter 4 with ports, and every second one \
         with egress and blocks. Twenty pods run here. Beside it 200 pods and 50 policies."
            .into(),
        format!(
            "Each chapter on nodes of its own, in turns; {} times each change. The manifests were \
             read once, and parsed by the bench itself with the agent's own function.",
            rounds * CHANGES
        ),
        "The release build, linked statically.".into(),
    ];
    let mut tables = vec![sizes, starts];
    for (it, [large, few]) in
        clusters.iter().zip([["changes", "few"], ["changes of chapter 4", "few of chapter 4"]])
    {
        tables.extend([table(large, &it.lags), table(few, &it.few_lags)]);
    }
    tables.push(claims);
    Ok(Report { rounds, tables, notes })
}

fn compare(clusters: &[Cluster], claims: &mut Table) {
    let p99 = |lag: &Lag| lag.map.ms(0.99);
    for it in clusters {
        for (lag, few) in it.lags.iter().zip(&it.few_lags) {
            let claim = format!(
                "{}, {}: p99 with 10,000 pods, times that with 200",
                it.chapter.1, lag.what
            );
            claims.at_most(&claim, p99(lag) / p99(few), 2.0);
        }
    }
    let [chapter3, chapter4] = clusters else { return };
    let of = |what| chapter3.lags.iter().find(|lag| lag.what == what);
    for (lag, before) in chapter4.lags.iter().filter_map(|lag| Some((lag, of(lag.what)?))) {
        let claim = format!("{}: p99 of chapter 4, times that of chapter 3", lag.what);
        claims.at_most(&claim, p99(lag) / p99(before), 1.5);
        let claim = format!("{}: p50", lag.what);
        claims.figure(&claim, lag.map.ms(0.5) / before.map.ms(0.5));
    }
    let first = |it: &Cluster| it.starts[0].ms(0.5);
    claims.at_most("first sync, chapter 4 / chapter 3", first(chapter4) / first(chapter3), 2.0);
    let ratio = chapter4.cpu.ms(0.5) / chapter3.cpu.ms(0.5);
    claims.figure("the same, of a CPU, which other work on the machine does not change", ratio);
}
