//! `bench`: ADD and DEL side by side in one run. Times are noisy, so only ratios are claims.

mod contender;
mod report;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use contender::Contender;
use hdrhistogram::Histogram;
use lab::{Node, Sandbox, chapter};

#[derive(Debug, Parser)]
struct Cli {
    /// How often each thing is done
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Where to write the figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Microseconds of one contender doing one thing.
#[derive(Debug)]
pub struct Row {
    contender: &'static str,
    what: &'static str,
    times: Histogram<u64>,
}

#[derive(Debug, Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn record(
        &mut self,
        contender: &'static str,
        what: &'static str,
        time: Duration,
    ) -> Result<()> {
        let micros = u64::try_from(time.as_micros())?;
        if let Some(row) = self.0.iter_mut().find(|r| r.contender == contender && r.what == what) {
            return Ok(row.times.record(micros)?);
        }
        let mut times = Histogram::new(3)?;
        times.record(micros)?;
        self.0.push(Row { contender, what, times });
        Ok(())
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let (ours, chapter2) = (chapter::build("ch1")?, chapter::build("ch2")?);
    let node = Node::new()?;
    let talk = node.enter(contender::write_talk)??;
    let contenders = Contender::all(ours, chapter2, talk)?;
    let mut rows = Rows::default();

    // The calls are made from a thread inside the node, so that a process start costs what it
    // costs a runtime. One pod of each stays, so that bridges and rules are there.
    let residents = sandboxes(&node, contenders.len())?;
    for (contender, pod) in contenders.iter().zip(&residents) {
        node.enter(|| contender.run("ADD", pod, 0))??;
    }
    eprintln!("one after the other …");
    for round in 0..cli.rounds {
        // Each round begins with another one: RCU work of one call is paid by the next.
        let mut turn: Vec<_> = contenders.iter().zip(sandboxes(&node, contenders.len())?).collect();
        turn.rotate_left(round % contenders.len());
        for command in ["ADD", "DEL"] {
            for (contender, pod) in &turn {
                let time = node.enter(|| contender.run(command, pod, 1 + round % 200))??;
                rows.record(contender.name(), command, time)?;
            }
        }
        for (_, pod) in turn {
            pod.remove(&node)?;
        }
    }
    eprintln!("chapter 2, load, verify and pin …");
    for contender in contenders.iter().filter(|contender| contender.name() == "chapter 2") {
        for round in 0..cli.rounds {
            let pod = node.sandbox()?;
            node.enter(contender::forget_program)??;
            let add = node.enter(|| contender.run("ADD", &pod, round))??;
            rows.record(contender.name(), "first ADD", add)?;
            node.enter(|| contender.run("DEL", &pod, round))??;
            pod.remove(&node)?;
        }
    }
    eprintln!("twenty at once …");
    for _ in 0..cli.rounds.div_ceil(10) {
        for contender in &contenders {
            at_once(&node, contender, &mut rows)?;
        }
    }
    eprintln!("beside a hundred pods …");
    for contender in &contenders {
        // The talk's script draws addresses: among a hundred pods it would draw one twice.
        if contender.name() == "ip script" {
            continue;
        }
        let crowd = sandboxes(&node, 100)?;
        node.enter(|| all(contender, "ADD", &crowd, 300))??;
        for round in 0..cli.rounds.div_ceil(2) {
            let pod = node.sandbox()?;
            let add = node.enter(|| contender.run("ADD", &pod, 1 + round % 200))??;
            node.enter(|| contender.run("DEL", &pod, 0))??;
            rows.record(contender.name(), "ADD, 100 pods there", add)?;
            pod.remove(&node)?;
        }
        node.enter(|| all(contender, "DEL", &crowd, 300))??;
        for pod in crowd {
            pod.remove(&node)?;
        }
    }
    report::print(&rows.0, cli.rounds);
    if let Some(path) = cli.json {
        let json = serde_json::to_string_pretty(&report::json(&rows.0, cli.rounds))?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn sandboxes(node: &Node, count: usize) -> Result<Vec<Sandbox>> {
    (0..count).map(|_| node.sandbox()).collect()
}

fn all(contender: &Contender, command: &str, pods: &[Sandbox], first: usize) -> Result<()> {
    for (nth, pod) in pods.iter().enumerate() {
        contender.run(command, pod, first + nth)?;
    }
    Ok(())
}

/// Twenty ADDs by twenty threads; what counts is when the last has its network.
fn at_once(node: &Node, contender: &Contender, rows: &mut Rows) -> Result<()> {
    let pods = sandboxes(node, 20)?;
    let errors = Mutex::new(Vec::new());
    let time = node.enter(|| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (nth, pod) in pods.iter().enumerate() {
                let errors = &errors;
                scope.spawn(move || {
                    if let (Err(error), Ok(mut errors)) =
                        (contender.run("ADD", pod, 250 + nth), errors.lock())
                    {
                        errors.push(error);
                    }
                });
            }
        });
        start.elapsed()
    })?;
    // The talk's script may have drawn an address twice; then there is no figure.
    if errors.lock().is_ok_and(|errors| errors.is_empty()) {
        rows.record(contender.name(), "20 ADDs at once", time)?;
    }
    for pod in &pods {
        // It may never have been connected.
        let _ = node.enter(|| contender.run("DEL", pod, 0))?;
        pod.remove(node)?;
    }
    Ok(())
}
