//! Nodes: up, install, uninstall, nodes, down, and commands that run on one.

use std::process::ExitCode;

use anyhow::{Result, bail};
use lab::chapter::Profile;
use lab::registry::{self, Entry};
use lab::{NodeStatus, chapter, say};

use super::running;
use crate::Output;
use crate::table::{self, age, now};

/// `lab build`: prints where the plugin is, or the agent; nothing if the chapter has none.
pub fn build(chapter: &str, agent: bool, release: bool) -> Result<ExitCode> {
    let profile = if release { Profile::Release } else { Profile::Dev };
    let program = match agent {
        true => chapter::agent(chapter, profile)?,
        false => Some(chapter::build(chapter, profile)?),
    };
    if let Some(program) = program {
        say(program.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds what `lab up`, or `lab install` on a node that is up, will install. Before the lab is
/// locked, since it may take minutes, and before there is a node that nothing is installed on.
pub fn build_ahead(name: &str, chapter: &str, installs: bool) -> Result<()> {
    let entry = registry::find(name).unwrap_or_default(); // what is wrong with it is said later
    let is_up = entry.is_some_and(|entry| entry.node().is_ok());
    if chapter != "none" && is_up == installs {
        chapter::build(chapter, Profile::Dev)?;
    }
    Ok(())
}

/// `lab up`
pub fn up(name: &str, chapter: &str) -> Result<()> {
    if let Some(entry) = registry::find(name)? {
        if entry.node().is_ok() {
            if entry.chapter != chapter {
                bail!(
                    "node {name} is up with {}: run `lab install {chapter}` to change it, or \
                     `lab down` to start anew",
                    entry.chapter
                );
            }
            say(format_args!("node/{name} is up"));
            return Ok(());
        }
        entry.remove()?;
    }
    let (mut entry, node) = registry::create(name, now())?;
    if chapter != "none" {
        chapter::install(&node, chapter, Profile::Dev)?;
        entry.set_chapter(chapter)?;
    }
    say(format_args!("node/{name} created"));
    Ok(())
}

/// `lab install`
pub fn install(name: &str, chapter: &str) -> Result<()> {
    let (mut entry, node) = running(name)?;
    chapter::install(&node, chapter, Profile::Dev)?;
    entry.set_chapter(chapter)?;
    node.sync()?;
    say(format_args!("node/{name} has the CNI plugin of {chapter}"));
    Ok(())
}

/// `lab uninstall`
pub fn uninstall(name: &str) -> Result<()> {
    let (mut entry, node) = running(name)?;
    chapter::uninstall(&node)?;
    entry.set_chapter("none")?;
    say(format_args!("node/{name} has no CNI plugin"));
    Ok(())
}

/// `lab nodes`
pub fn nodes(output: Option<Output>) -> Result<()> {
    let entries = registry::entries()?;
    if entries.is_empty() {
        say("No nodes found: run `lab up ch1`.");
        return Ok(());
    }
    let (mut states, mut messages) = (Vec::new(), Vec::new());
    for entry in &entries {
        let status = entry.node().and_then(|node| node.sync().and_then(|()| node.status()));
        let (state, message) = match status {
            Ok(NodeStatus::Ready) => ("Ready", String::new()),
            Ok(NodeStatus::NotReady(message)) => ("NotReady", message),
            Err(error) => ("NotReady", format!("{error:#}")), // the other nodes are listed all the same
        };
        states.push(state.to_string());
        messages.push(message);
    }
    let column = |cell: &dyn Fn(&Entry) -> String| entries.iter().map(cell).collect();
    let mut columns = vec![
        ("NAME", column(&|entry| entry.name.clone())),
        ("STATUS", states),
        ("AGE", column(&|entry| age(entry.created))),
        ("CHAPTER", column(&|entry| entry.chapter.clone())),
    ];
    if output == Some(Output::Wide) {
        columns.push(("MESSAGE", messages));
    }
    table::print(&columns);
    Ok(())
}

/// `lab down`
pub fn down(name: &str, all: bool) -> Result<()> {
    let mut entries = registry::entries()?;
    entries.retain(|entry| all || entry.name == name);
    for entry in entries {
        entry.remove()?;
        say(format_args!("node/{} deleted", entry.name));
    }
    Ok(())
}
