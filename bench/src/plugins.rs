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

/// A contender on its node.
struct Entrant<'a> {
    node: &'a Node,
    contender: Contender,
}

impl Entrant<'_> {
    fn name(&self) -> &'static str {
        self.contender.name()
    }

    /// The call is made from a thread inside the node, so that a process start costs what it costs
    /// a runtime.
    fn run(&self, command: &str, pod: &Sandbox, nth: usize) -> Result<Duration> {
        self.node.enter(|| self.contender.run(command, pod, nth))?
    }
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
    // An agent has a node for itself.
    let nodes = [Node::new()?, Node::new()?, Node::new()?];
    let entrants = entrants(&nodes)?;
    let mut rows = Rows::default();

    // One pod of each stays, so that bridges and rules are there.
    for it in &entrants {
        it.run("ADD", &it.node.sandbox()?, 0)?;
    }
    warn("one after the other …");
    for round in 0..rounds {
        // Each round begins with another one: RCU work of one call is paid by the next.
        let pods = entrants.iter().map(|it| Ok((it, it.node.sandbox()?)));
        let mut turn = pods.collect::<Result<Vec<_>>>()?;
        turn.rotate_left(round % entrants.len());
        for command in ["ADD", "DEL"] {
            for (it, pod) in &turn {
                rows.record(it.name(), command, it.run(command, pod, 1 + round % 200)?)?;
            }
        }
        for (it, pod) in turn {
            pod.remove(it.node)?;
        }
    }
    warn("chapter 2, load, verify and pin …");
    for it in entrants.iter().filter(|it| it.name() == "chapter 2") {
        for round in 0..rounds {
            let pod = it.node.sandbox()?;
            it.node.enter(contender::forget_program)??;
            rows.record(it.name(), "first ADD", it.run("ADD", &pod, round)?)?;
            it.run("DEL", &pod, round)?;
            pod.remove(it.node)?;
        }
    }
    warn("twenty at once …");
    for _ in 0..rounds.div_ceil(10) {
        for it in &entrants {
            at_once(it, &mut rows)?;
        }
    }
    warn("beside a hundred pods …");
    for it in &entrants {
        // The talk's script draws addresses: among a hundred pods it would draw one twice.
        if it.name() == "ip script" {
            continue;
        }
        let crowd = sandboxes(it.node, 100)?;
        all(it, "ADD", &crowd, 300)?;
        for round in 0..rounds.div_ceil(2) {
            let pod = it.node.sandbox()?;
            let add = it.run("ADD", &pod, 1 + round % 200)?;
            it.run("DEL", &pod, 0)?;
            rows.record(it.name(), "ADD, 100 pods there", add)?;
            pod.remove(it.node)?;
        }
        all(it, "DEL", &crowd, 300)?;
        for pod in crowd {
            pod.remove(it.node)?;
        }
    }
    let tables = vec![table(&rows), claims(&rows)];
    Ok(Report { rounds, tables, notes: vec![reference()] })
}

/// Chapters 3 and 4 on the second and the third node, all others on the first one.
fn entrants(nodes: &[Node; 3]) -> Result<Vec<Entrant<'_>>> {
    let build = |name| chapter::build(name, Profile::Release);
    let chapters = [build("ch1")?, build("ch2")?, build("ch3")?, build("ch4")?];
    for (node, chapter) in nodes[1..].iter().zip(["ch3", "ch4"]) {
        let agent = chapter::agent(chapter, Profile::Release)?;
        node.start_agent(&agent.with_context(|| format!("{chapter} has no agent"))?)?;
    }
    let talk = nodes[0].enter(contender::write_talk)??;
    let contenders = Contender::all(chapters, talk)?.into_iter();
    let node = |name| match name {
        "chapter 3" => &nodes[1],
        "chapter 4" => &nodes[2],
        _ => &nodes[0],
    };
    Ok(contenders.map(|contender| Entrant { node: node(contender.name()), contender }).collect())
}

fn sandboxes(node: &Node, count: usize) -> Result<Vec<Sandbox>> {
    (0..count).map(|_| node.sandbox()).collect()
}

fn all(it: &Entrant<'_>, command: &str, pods: &[Sandbox], first: usize) -> Result<()> {
    let mut pods = pods.iter().enumerate();
    pods.try_for_each(|(nth, pod)| it.run(command, pod, first + nth).map(drop))
}

/// Twenty ADDs by twenty threads; what counts is when the last has its network.
fn at_once(Entrant { node, contender }: &Entrant<'_>, rows: &mut Rows) -> Result<()> {
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
    claims.at_most("ADD, chapter 4 / chapter 3", p50("chapter 4", "ADD") / chapter3, 1.2);
    for what in ["DEL", "20 ADDs at once", "ADD, 100 pods there"] {
        let claim = format!("{what}, chapter 4 / chapter 3");
        claims.figure(&claim, p50("chapter 4", what) / p50("chapter 3", what));
    }
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
         chapter 1's plugin; the ADD of chapters 3 and 4 waits for its agent, and each of them has \
         a node of its own.",
        version.unwrap_or_default()
    )
}
