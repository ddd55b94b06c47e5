//! `lab`: the fake node for people. Its words and tables are kubectl's.

mod commands;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

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
    /// Make a node and install a chapter's plugin on it, or none
    Up {
        /// ch1, ch2, … or none
        chapter: String,
    },
    /// Install a chapter's plugin and configuration on a running node
    Install {
        /// ch1, ch2, …
        chapter: String,
    },
    /// Build a chapter's plugin and print where the program is
    Build {
        /// ch1, ch2, …
        chapter: String,
    },
    /// Take plugin and configuration away: the node is NotReady again
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
        namespace: Namespace,
        /// Of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// A column with the labels
        #[arg(long)]
        show_labels: bool,
        /// json: everything; wide: why a pod does not run
        #[arg(short, long, value_enum)]
        output: Option<Output>,
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

#[derive(Debug, Subcommand)]
enum PodCommand {
    /// Run a pod
    Run {
        /// Its name
        name: String,
        #[command(flatten)]
        namespace: Namespace,
        /// Labels: KEY=VALUE,KEY=VALUE
        #[arg(short, long, value_delimiter = ',', value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
    /// Remove pods
    Rm {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        namespace: Namespace,
    },
}

#[derive(Debug, clap::Args)]
struct Namespace {
    /// The pod's namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Wide,
}

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
