//! The agent's command line: the daemon itself, and questions to one that runs.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use ch4_full_policy::agent::{run, show};
use clap::{CommandFactory as _, Parser, Subcommand};

/// Gives pods identities, and keeps the maps by which the kernel decides who talks to whom.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run(run::Options),
    #[command(flatten)]
    Show(show::Command),
    /// Print a script that completes this command line: `source <(ebpf-agent completion bash)`
    Completion {
        /// bash, zsh, fish, …
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match execute(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` would panic if nobody reads.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(options) => {
            let filter = tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy();
            let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
            // When nobody reads the log, tracing would say so by `eprintln!`, which panics then.
            log.log_internal_errors(false).with_env_filter(filter).init();
            run::run(options)
        }
        Command::Show(command) => show::show(command),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ebpf-agent", &mut script);
            show::say(String::from_utf8(script)?.trim_end())
        }
    }
}
