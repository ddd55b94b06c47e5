//! ADD and DEL side by side.

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::chapter::{self, Profile};
use lab::{Node, Sandbox, warn};

use crate::contender::{self, Contender};
use crate::report::{Report, Table};
use crate::times::{Times, ms};

/// One contender doing one thing.
#[derive(Debug)]
struct Row {
    contender: &'static str,
    what: &'static str,
    times: Times,
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
        if let Some(row) = self.0.iter_mut().find(|r| r.contender == contender && r.what == what) {
            return row.times.record(time);
        }
        let mut times = Times::new()?;
        times.record(time)?;
        self.0.push(Row { contender, what, times });
        Ok(())
    }
}

/// All contenders.
pub fn run(rounds: usize) -> Result<Report> {
    let node = Node::new()?;
    let contenders = contenders(&node)?;
    let mut rows = Rows::default();

    // The calls are made from a thread inside the node, so that a process start costs what it
    // costs a runtime. One pod of each stays, so that bridges and rules are there.
    let residents = sandboxes(&node, contenders.len())?;
    for (contender, pod) in contenders.iter().zip(&residents) {
        node.enter(|| contender.run("ADD", pod, 0))??;
    }
    warn("one after the other …");
    for round in 0..rounds {
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
    warn("chapter 2, load, verify and pin …");
    for contender in contenders.iter().filter(|contender| contender.name() == "chapter 2") {
        for round in 0..rounds {
            let pod = node.sandbox()?;
            node.enter(contender::forget_program)??;
            let add = node.enter(|| contender.run("ADD", &pod, round))??;
            rows.record(contender.name(), "first ADD", add)?;
            node.enter(|| contender.run("DEL", &pod, round))??;
            pod.remove(&node)?;
        }
    }
    warn("twenty at once …");
    for _ in 0..rounds.div_ceil(10) {
        for contender in &contenders {
            at_once(&node, contender, &mut rows)?;
        }
    }
    warn("beside a hundred pods …");
    for contender in &contenders {
        // The talk's script draws addresses: among a hundred pods it would draw one twice.
        if contender.name() == "ip script" {
            continue;
        }
        let crowd = sandboxes(&node, 100)?;
        node.enter(|| all(contender, "ADD", &crowd, 300))??;
        for round in 0..rounds.div_ceil(2) {
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
    let tables = vec![table(&rows), claims(&rows)];
    Ok(Report { rounds, tables, notes: vec![reference()] })
}

fn contenders(node: &Node) -> Result<Vec<Contender>> {
    let build = |name| chapter::build(name, Profile::Release);
    let (ours, chapter2, chapter3) = (build("ch1")?, build("ch2")?, build("ch3")?);
    node.start_agent(&chapter::agent("ch3", Profile::Release)?.context("chapter 3 has no agent")?)?;
    let talk = node.enter(contender::write_talk)??;
    Contender::all(ours, chapter2, chapter3, talk)
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

fn table(rows: &Rows) -> Table {
    let mut table = Table::new("rows", &["what", "contender", "p50 ms", "p95 ms", "min ms"]);
    for what in ["ADD", "first ADD", "DEL", "20 ADDs at once", "ADD, 100 pods there"] {
        for Row { contender, times, .. } in rows.0.iter().filter(|row| row.what == what) {
            let [p50, p95, min] = [0.5, 0.95, 0.0].map(|it| ms(times.ms(it)));
            table.row([what.into(), (*contender).into(), p50, p95, min]);
        }
    }
    table
}

/// What the READMEs say, as ratios of medians within this run.
fn claims(rows: &Rows) -> Table {
    let p50 = |contender: &str, what: &str| {
        let row = rows.0.iter().find(|row| row.contender == contender && row.what == what);
        row.map_or(f64::NAN, |row| row.times.ms(0.5))
    };
    let ratio = |what: &str, to: &str| p50("ours", what) / p50(to, what);
    let mut claims = Table::claims();
    claims.at_most("ADD, ours / reference", ratio("ADD", "reference"), 0.25);
    claims.at_most("ADD, ours / kernel alone", ratio("ADD", "kernel alone"), 3.0);
    let at_once = ratio("20 ADDs at once", "reference");
    claims.at_most("20 ADDs at once, ours / reference", at_once, 0.3);
    claims.at_most("ADD, chapter 2 / ours", p50("chapter 2", "ADD") / p50("ours", "ADD"), 1.5);
    let chapter3 = p50("chapter 3", "ADD");
    claims.figure("ADD, chapter 3 / ours", chapter3 / p50("ours", "ADD"));
    claims.figure("ADD, chapter 3 / reference", chapter3 / p50("reference", "ADD"));
    let del = p50("ours", "DEL") - p50("kernel alone", "DEL");
    claims.at_most("DEL, ours - kernel's DELLINK, ms", del, 3.0);
    claims
}

fn reference() -> String {
    let version = Command::new("dpkg-query")
        .args(["-Wf", "${Version}", "containernetworking-plugins"])
        .output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    format!(
        "The reference is bridge and host-local of containernetworking-plugins {}; ours is \
         chapter 1's plugin; chapter 3's ADD waits for its agent.",
        version.unwrap_or_default()
    )
}
