//! What people ask a running agent, and the maps.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see table::say")]

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::client;
use endpoints::{endpoint, endpoints, identities};
use explain::explain;
use maps::{conntrack, endpoint_map};
use policies::policy_map;
pub use table::say;
use table::{Output, json};

mod endpoints;
mod explain;
mod maps;
mod monitor;
mod policies;
mod table;

/// Questions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The endpoints of this node
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Which labels have which number
    #[command(subcommand)]
    Identity(ListCommand),
    /// What the kernel's maps hold
    #[command(subcommand)]
    Bpf(BpfCommand),
    /// What is not as it should be
    Status,
    /// Drops and new connections, as they come
    Monitor(monitor::Options),
    /// May one connect to another, and why?
    Explain {
        /// Who asks: a pod, an endpoint's id, an address, `host`, `world`
        source: String,
        /// Who is asked, and for what: backend, backend:80, 10.13.0.5:53/UDP
        destination: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Metrics in Prometheus' format
    Metrics,
}

/// About endpoints.
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// All
    List(Output),
    /// One, with the policies that isolate it
    Get {
        /// Its id, pod or address: 3, my-pod, default/my-pod, 10.13.0.5
        endpoint: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
}

/// All there are.
#[derive(Debug, Subcommand)]
pub enum ListCommand {
    /// All
    List(Output),
}

/// About maps.
#[derive(Debug, Subcommand)]
pub enum BpfCommand {
    /// `endpoint_map`: which identity has which address
    #[command(subcommand)]
    Endpoint(ListCommand),
    /// `policy_map`: who may talk to whom
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// `ct_map`: who has opened connections
    #[command(subcommand)]
    Ct(ListCommand),
}

/// About `policy_map`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Who may talk to an endpoint; without one, all entries
    Get {
        /// Its id, pod or address
        endpoint: Option<String>,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
}

/// Answers a question on stdout.
pub fn show(command: Command) -> Result<()> {
    match command {
        Command::Endpoint(EndpointCommand::List(output)) => endpoints(output),
        Command::Endpoint(EndpointCommand::Get { endpoint: which, output }) => {
            endpoint(&which, output)
        }
        Command::Identity(ListCommand::List(output)) => identities(output),
        Command::Bpf(BpfCommand::Endpoint(ListCommand::List(output))) => endpoint_map(output),
        Command::Bpf(BpfCommand::Policy(PolicyCommand::Get { endpoint, output })) => {
            policy_map(endpoint.as_deref(), output)
        }
        Command::Status => {
            let (is_sound, health) = client::health()?;
            json(&health)?;
            ensure!(is_sound, "the kernel does not do what is wanted");
            Ok(())
        }
        Command::Bpf(BpfCommand::Ct(ListCommand::List(output))) => conntrack(output),
        Command::Monitor(options) => monitor::follow(&options),
        Command::Explain { source, destination, output } => explain(&source, &destination, output),
        Command::Metrics => say(client::text("/metrics")?.trim_end()),
    }
}
