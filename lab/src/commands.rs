//! What each `lab` command does.

mod agent;
mod get;
mod node;
mod object;
mod pod;

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context as _, Result, bail};
use lab::registry::{self, Entry};
use lab::{InForce, Node, PATIENCE, say, warn};

pub use agent::AgentCommand;
pub use object::{CreateCommand, Selection};
pub use pod::PodCommand;

use crate::{Cli, Command};

/// In which namespace
#[derive(Debug, clap::Args)]
pub struct Namespace {
    /// The namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
}

/// Runs one command. Every command but `down` runs kubelet's loop once: the lab has no daemon.
pub fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::Build { chapter, agent, release } = &cli.command {
        return node::build(chapter, *agent, *release); // needs no root
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab makes network namespaces, which needs root: run it with sudo");
    }
    let name = cli.node.as_str();
    // Before the lock is taken: at the pipe's other end may be a `lab` command, too.
    let objects = match &cli.command {
        Command::Apply { files } | Command::Delete(Selection { files, .. }) => object::read(files)?,
        _ => Vec::new(),
    };
    match &cli.command {
        Command::Up { chapter } => node::build_ahead(name, chapter, false)?,
        Command::Install { chapter } => node::build_ahead(name, chapter, true)?,
        _ => {}
    }
    let lock = registry::lock()?;
    match cli.command {
        Command::Build { .. } => {} // done above
        Command::Up { chapter } => node::up(name, &chapter)?,
        Command::Install { chapter } => node::install(name, &chapter)?,
        Command::Uninstall => node::uninstall(name)?,
        Command::Nodes { output } => node::nodes(output)?,
        Command::Down { all } => node::down(name, all)?,
        Command::Pod(command) => pod::pod(name, command)?,
        Command::Pods { listed, output } => pod::list(&running(name)?.1, &listed, output)?,
        Command::Apply { .. } => object::apply(name, &objects)?,
        Command::Create(command) => object::create(name, command)?,
        Command::Delete(selection) => object::delete(name, &objects, &selection)?,
        Command::Get { kind, listed } => get::get(&running(name)?.1, kind, &listed)?,
        Command::Label { kind, object, changes, namespace } => {
            object::label(name, kind, &namespace.namespace, &object, &changes)?;
        }
        Command::Agent(command) => agent::agent(name, command)?,
        Command::EbpfAgent { args } => {
            let mut command = agent::command(name)?;
            command.args(args);
            drop(lock);
            return exit_code(command);
        }
        Command::Exec { pod, namespace, argv } => {
            let (_, node) = running(name)?;
            let mut command = node.pod(&namespace.namespace, &pod)?.command(&node, &argv[0])?;
            command.args(&argv[1..]);
            drop(lock);
            return exit_code(command);
        }
        Command::NodeExec { argv } => {
            let mut command = running(name)?.1.command(&argv[0]);
            command.args(&argv[1..]);
            drop(lock);
            return exit_code(command);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The node and its entry, with its pods brought up to date.
fn running(name: &str) -> Result<(Entry, Node)> {
    let entry = registry::find(name)?;
    let entry =
        entry.with_context(|| format!("there is no node {name}: run `lab up ch1` first"))?;
    let node = entry.node().with_context(|| format!("run `lab down --node {name}` to clean up"))?;
    node.sync()?;
    Ok((entry, node))
}

/// Waits until what was changed holds; or it cannot, and that is said.
fn settle(node: &Node) -> Result<()> {
    if node.wait_until_in_force(PATIENCE)? == InForce::AgentDoesNotRun {
        warn("warning: the agent does not run: what you have changed holds when it is READY again");
    }
    Ok(())
}

/// Runs a command for a person and passes its exit status on.
fn exit_code(mut command: Process) -> Result<ExitCode> {
    let program = command.get_program().to_os_string();
    let status = command.status().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no command {program:?}"),
        _ => anyhow::anyhow!("cannot run {program:?}: {error}"),
    })?;
    // As a shell says that a signal has ended it.
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// What kubectl says instead of an empty table.
fn none_found(only: Option<&str>) {
    let place = only.map_or(String::new(), |namespace| format!(" in {namespace} namespace"));
    say(format_args!("No resources found{place}."));
}
