//! `bench`: how fast is what the chapters make, and how large? A subcommand for each question;
//! without one, ADD and DEL. Times are noisy, so what is compared is measured in one run, in
//! turns, and only ratios are claims.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see lab::say")]

mod agent;
mod churn;
mod cluster;
mod come_and_go;
mod contender;
mod echo;
mod frames;
mod iptables;
mod packets;
mod plugins;
mod policy;
mod ports;
mod probe;
mod report;
mod test_run;
mod throughput;
mod times;
mod verdicts;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use report::Report;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// How often each thing is done
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Where to write the figures as JSON
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// ADD and DEL: our plugins, the reference, the talk's script, and the kernel alone
    Plugins,
    /// What chapter 3's two programs take for a packet
    Packets,
    /// The same of chapter 4's three, beside chapter 3's, with ports and blocks
    Ports,
    /// TCP between two pods: chapters 3 and 4 beside chapters 1 and 2
    Throughput,
    /// From a change of policy or labels to the first packet that is treated so
    Policy,
    /// The agents' memory, and their time for ten thousand pods
    Agent,
    /// N × M rules in a chain, a set of them, and identities
    Iptables,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let rounds = |default: usize| cli.rounds.unwrap_or(default);
    let report: Report = match cli.what.unwrap_or(What::Plugins) {
        What::Plugins => plugins::run(rounds(60)),
        What::Packets => packets::run(rounds(20)),
        What::Ports => ports::run(rounds(20)),
        What::Throughput => throughput::run(rounds(60)),
        What::Policy => policy::run(rounds(200)),
        What::Agent => agent::run(rounds(5)),
        What::Iptables => iptables::run(rounds(9)),
    }?;
    report.print();
    if let Some(path) = cli.json {
        let json = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
