//! The agent's memory, and its time for a large cluster.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::agent::objects::manifest;
use ch3_identity_policy::client;
use ch3_identity_policy::maps::{endpoint_map, policy_map};
use lab::Node;
use lab::chapter::{self, Profile};

use crate::churn;
use crate::cluster::Size;
use crate::policy::{self, run_pods, table};
use crate::report::{Cell, Report, Table};
use crate::times::ms;

const SMALL: Size = Size { namespaces: 2, deployments: 4, pods: 0, policies: 4 };
const LARGE: Size = Size { namespaces: 20, deployments: 10, pods: 10_000, policies: 500 };
const PATIENCE: Duration = Duration::from_secs(600);

/// What the kernel says of a process, in KiB.
struct Memory {
    resident: u64,
    proportional: u64,
    /// Not the program's own file.
    anonymous: u64,
    peak: u64,
}

/// Starts of the agent with a large cluster; changes, fifty times as many.
pub fn run(rounds: usize) -> Result<Report> {
    let mut sizes = Table::new(
        "agent",
        &[
            "cluster",
            "agent",
            "VmRSS MiB",
            "Pss MiB",
            "RssAnon MiB",
            "VmHWM MiB",
            "identities",
            "endpoint_map",
            "policy_map",
        ],
    );
    let mut claims = Table::claims();
    let small = Node::new()?;
    chapter::install(&small, "ch3", Profile::Release)?;
    SMALL.write(&small)?;
    run_pods(&small, &SMALL, 10)?;
    std::thread::sleep(Duration::from_secs(2));
    let memory = memory(&small)?;
    row(&mut sizes, &small, ["10 pods here", "after their ADDs"])?;
    claims.at_most("VmRSS with ten pods, MiB", mib(memory.resident), 20.0);
    drop(small);

    let mut starts = Table::new("starts", &["start", "until READY, ms"]);
    let node = Node::new()?;
    chapter::install(&node, "ch3", Profile::Release)?; // a small start, which loads the programs
    let pods = [node.run_pod(churn::client())?, node.run_pod(churn::server())?];
    node.stop_agent()?;
    LARGE.write(&node)?;
    let (files, read, parsed) = parse(&node)?;
    let mut first = f64::NAN;
    for round in 0..rounds {
        let time = start(&node)?;
        if round == 0 {
            first = time;
        }
        let what = if round == 0 { "with empty maps" } else { "again, all is in the maps" };
        starts.row([what.into(), ms(time)]);
        if round == 0 {
            row(&mut sizes, &node, ["10,000 pods", "READY"])?;
        }
        if round + 1 < rounds {
            node.stop_agent()?;
        }
    }
    starts.row(["of which: reading all manifests".into(), ms(read)]);
    starts.row(["of which: parsing them".into(), ms(parsed)]);
    let lags = churn::run(&node, &pods[0], &pods[1], rounds * 50)?;
    row(&mut sizes, &node, ["10,000 pods", "after the changes"])?;
    let after = self::memory(&node)?;
    claims.at_most("VmRSS with 10,000 pods, MiB", mib(after.resident), 60.0);
    claims.figure("first start, without reading and parsing, ms", first - read - parsed);
    drop(node);
    let few = policy::changes(rounds * 50)?;
    for (lag, few) in lags.iter().zip(&few) {
        let claim = format!("{}: p99 with 10,000 pods, times that with 200", lag.what);
        claims.at_most(&claim, lag.map.ms(0.99) / few.map.ms(0.99), 2.0);
    }
    let notes = vec![
        format!(
            "10,000 pods: of other nodes, 200 sets of labels in 20 namespaces, two revisions, \
             with owners and annotations; 500 policies; {files} manifests, parsed by the bench \
             itself with the agent's own function. Two pods run here."
        ),
        "The release build, linked statically. The manifests' text counts for the agent only \
         while it is read."
            .into(),
    ];
    Ok(Report {
        rounds,
        tables: vec![sizes, starts, table("changes", &lags), table("few", &few), claims],
        notes,
    })
}

/// Milliseconds from the start of the agent's process until it is READY.
fn start(node: &Node) -> Result<f64> {
    let program = node.agent_program().context("the node has no agent")?;
    let copy = std::env::temp_dir().join(format!("bench-agent-{}", std::process::id()));
    fs::copy(program, &copy)?;
    let spawned = node.spawn_agent(&copy);
    let start = Instant::now();
    fs::remove_file(&copy)?;
    spawned.and_then(|()| node.wait_for_agent(PATIENCE))?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// How many manifests there are, and the milliseconds of reading and of parsing them all.
fn parse(node: &Node) -> Result<(usize, f64, f64)> {
    let start = Instant::now();
    let mut texts = Vec::new();
    for entry in fs::read_dir(node.path("/run/lab/manifests"))? {
        texts.push(fs::read_to_string(entry?.path())?);
    }
    let read = start.elapsed();
    let start = Instant::now();
    for text in &texts {
        ensure!(manifest::parse(text)?.len() == 1, "a manifest holds no object");
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok((texts.len(), ms(read), ms(start.elapsed())))
}

fn memory(node: &Node) -> Result<Memory> {
    let pid = node.agent_pid().context("no agent runs")?;
    let of = |file: &str, key: &str| {
        let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let line = line.with_context(|| format!("no {key} in {file}"))?;
        Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory {
        resident: of("status", "VmRSS:")?,
        proportional: of("smaps_rollup", "Pss:")?,
        anonymous: of("status", "RssAnon:")?,
        peak: of("status", "VmHWM:")?,
    })
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// A row of what the agent takes, and of what it has made.
fn row(table: &mut Table, node: &Node, what: [&str; 2]) -> Result<()> {
    let memory = memory(node)?;
    let (identities, endpoints, pairs) = node.enter(|| {
        let identities: Vec<serde_json::Value> = client::get("/v1/identity")?;
        let in_use = identities.iter().filter(|it| it["in_use"] == true).count();
        Ok::<_, anyhow::Error>((
            in_use,
            endpoint_map()?.keys().count(),
            policy_map()?.keys().count(),
        ))
    })??;
    let size = |kib| Cell::Number(mib(kib), 1);
    table.row([
        what[0].into(),
        what[1].into(),
        size(memory.resident),
        size(memory.proportional),
        size(memory.anonymous),
        size(memory.peak),
        identities.into(),
        endpoints.into(),
        pairs.into(),
    ]);
    Ok(())
}
