//! The agent as a process: how it starts, what it takes, what it has made.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::client;
use ch3_identity_policy::maps::GLOBALS;
use lab::Node;
use libbpf_rs::{MapCore as _, MapHandle};

use crate::report::{Cell, Table};

const PATIENCE: Duration = Duration::from_secs(600);

/// What the kernel says of a process, in KiB.
struct Memory {
    resident: u64,
    proportional: u64,
    /// Not the program's own file.
    anonymous: u64,
    peak: u64,
}

/// Takes everything out of the maps that the agent writes. To be called inside the node.
pub fn empty_maps() -> Result<()> {
    for name in ["policy_map", "endpoint_map", "block_map", "port_map"] {
        if let Some(map) = map(name) {
            map.keys().try_for_each(|key| map.delete(&key))?;
        }
    }
    Ok(())
}

/// A map of whatever layout, if the chapter has it.
fn map(name: &str) -> Option<MapHandle> {
    MapHandle::from_pinned_path(format!("{GLOBALS}/{name}")).ok()
}

/// From the start of the agent's process until it is READY.
pub fn start(node: &Node) -> Result<Duration> {
    let program = node.agent_program().context("the node has no agent")?;
    let copy = std::env::temp_dir().join(format!("bench-agent-{}", std::process::id()));
    fs::copy(program, &copy)?;
    let spawned = node.spawn_agent(&copy);
    let start = Instant::now();
    fs::remove_file(&copy)?;
    spawned.and_then(|()| node.wait_for_agent(PATIENCE))?;
    Ok(start.elapsed())
}

/// The milliseconds of reading and of parsing all manifests.
pub fn parse(node: &Node, chapter: &str) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut texts = Vec::new();
    for entry in fs::read_dir(node.path("/run/lab/manifests"))? {
        texts.push(fs::read_to_string(entry?.path())?);
    }
    let read = start.elapsed();
    let start = Instant::now();
    for text in &texts {
        let objects = match chapter {
            "ch3" => ch3_identity_policy::agent::objects::manifest::parse(text)?.len(),
            _ => ch4_full_policy::agent::objects::manifest::parse(text)?.len(),
        };
        ensure!(objects == 1, "a manifest holds no object");
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok((ms(read), ms(start.elapsed())))
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

/// What the agent has taken of a CPU, all threads together, also those that are gone.
pub fn cpu(node: &Node) -> Result<Duration> {
    let pid = node.agent_pid().context("no agent runs")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    // utime and stime: fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// A row of what the agent takes, and of what it has made. Returns the MiB that are resident.
pub fn row(table: &mut Table, node: &Node, what: [&str; 2]) -> Result<f64> {
    let memory = memory(node)?;
    let (identities, entries) = node.enter(|| {
        let identities: Vec<serde_json::Value> = client::get("/v1/identity")?;
        let in_use = identities.iter().filter(|it| it["in_use"] == true).count();
        let entries = ["endpoint_map", "policy_map", "port_map", "block_map"]
            .map(|name| map(name).map_or(Cell::Nothing, |map| map.keys().count().into()));
        anyhow::Ok((in_use, entries))
    })??;
    let size = |kib| Cell::Number(mib(kib), 1);
    let [endpoints, pairs, ports, blocks] = entries;
    table.row([
        what[0].into(),
        what[1].into(),
        size(memory.resident),
        size(memory.proportional),
        size(memory.anonymous),
        size(memory.peak),
        identities.into(),
        endpoints,
        pairs,
        ports,
        blocks,
    ]);
    Ok(mib(memory.resident))
}
