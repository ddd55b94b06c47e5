//! The agent: its daemon, and its own command line.

use std::process::Command;

use anyhow::{Context as _, Result};
use lab::{AGENT, Node, say};

use super::{running, settle};

/// `lab agent …`
#[derive(Debug, clap::Subcommand)]
pub enum AgentCommand {
    /// Start the agent of the installed chapter
    Start,
    /// Ask it to end, and wait until it has
    Stop,
    /// Kill it
    Kill,
    /// What it has said since it was started last
    Log,
}

/// `lab agent`
pub fn agent(name: &str, command: AgentCommand) -> Result<()> {
    let (_, node) = running(name)?;
    match command {
        AgentCommand::Start => {
            node.start_agent(&node.agent_program().with_context(|| none(&node))?)?;
            node.sync()?; // now pods get what they waited for
            settle(&node)?;
            say("agent started");
        }
        AgentCommand::Log => node.agent_log().lines().for_each(say),
        AgentCommand::Stop | AgentCommand::Kill if node.agent_pid().is_none() => {
            say("agent does not run");
        }
        AgentCommand::Stop => {
            node.stop_agent()?;
            say("agent stopped");
        }
        AgentCommand::Kill => {
            node.kill_agent()?;
            say("agent killed");
        }
    }
    Ok(())
}

/// `lab ebpf-agent`: the agent's program on the node
pub fn command(name: &str) -> Result<Command> {
    let (_, node) = running(name)?;
    node.agent_program().with_context(|| none(&node))?;
    Ok(node.command(AGENT))
}

fn none(node: &Node) -> String {
    format!("node {} has no agent: chapter 3 brings one", node.name())
}
