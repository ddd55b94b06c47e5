//! `lab`: the fake node for people. Its words and tables are kubectl's.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see lab::say")]

mod commands;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use lab::{Kind, is_incomplete, warn};

use commands::{AgentCommand, CreateCommand, Namespace, PodCommand, Selection};
use table::Listed;

/// A fake Kubernetes node in seconds: look at what a CNI plugin does.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// Which node, if you have several
    #[arg(long, global = true, default_value = "node1", value_name = "NAME")]
    node: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a node and install a chapter on it, or none
    Up {
        /// ch1, ch2, … or none
        chapter: String,
    },
    /// Install a chapter on a running node: agent, plugin, configuration
    Install {
        /// ch1, ch2, …
        chapter: String,
    },
    /// Build a chapter and print where its plugin is
    Build {
        /// ch1, ch2, …
        chapter: String,
        /// Where its agent is; nothing if it has none
        #[arg(long)]
        agent: bool,
        /// For a real node, or for measuring: optimised, and linked statically
        #[arg(long)]
        release: bool,
    },
    /// Take configuration, plugin and agent away: the node is NotReady again
    Uninstall,
    /// List the nodes
    Nodes {
        /// wide says why a node is not ready
        #[arg(short, long, value_enum)]
        output: Option<Output>,
    },
    /// Run or remove pods
    #[command(subcommand)]
    Pod(PodCommand),
    /// List pods
    Pods {
        #[command(flatten)]
        listed: Listed,
        /// json: everything; wide: why a pod does not run
        #[arg(short, long, value_enum)]
        output: Option<Output>,
    },
    /// Apply objects: namespaces, network policies, pods; returns when they hold
    Apply {
        /// Files, directories of files, or - for stdin
        #[arg(short = 'f', long = "filename", value_name = "FILE", num_args = 1.., required = true)]
        files: Vec<PathBuf>,
    },
    /// Make an object
    #[command(subcommand)]
    Create(CreateCommand),
    /// Delete objects, by files or by kind and name
    Delete(Selection),
    /// List objects: networkpolicies, namespaces, pods
    Get {
        /// networkpolicies, namespaces or pods
        kind: Kind,
        #[command(flatten)]
        listed: Listed,
    },
    /// Set or remove labels of a pod or a namespace
    Label {
        /// pod or namespace
        kind: Kind,
        /// Its name
        object: String,
        /// KEY=VALUE sets a label, KEY- removes it
        #[arg(required = true, value_name = "LABEL")]
        changes: Vec<String>,
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Start or end the node's agent, or see its log
    #[command(subcommand)]
    Agent(AgentCommand),
    /// The command line of the node's agent: endpoint list, monitor, …
    #[command(disable_help_flag = true)]
    EbpfAgent {
        /// What the agent is asked
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run a command in a pod
    Exec {
        /// The pod's name
        pod: String,
        #[command(flatten)]
        namespace: Namespace,
        /// The command, after --
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// Run a command on the node: ip, bridge, tc, nft, bpftool
    NodeExec {
        /// The command, after --
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// Remove the node and everything on it
    Down {
        /// All nodes
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Wide,
}

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) if !is_incomplete() => code,
        Ok(_) => {
            warn("error: stdout could not be written: is the disk full?");
            ExitCode::FAILURE
        }
        Err(error) => {
            warn(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
