//! What each `lab` command does.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context as _, Result, bail};
use lab::registry::{self, Entry};
use lab::{Node, NodeStatus, Phase, PodSpec, RunPodError, chapter};

use crate::table::{self, age, now};
use crate::{Cli, Command, Output, PodCommand};

/// Runs one command. Every command but `down` runs kubelet's loop once: the lab has no daemon.
pub fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::Build { chapter } = &cli.command {
        println!("{}", chapter::build(chapter)?.display());
        return Ok(ExitCode::SUCCESS);
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab makes network namespaces, which needs root: run it with sudo");
    }
    let name = cli.node.as_str();
    let lock = registry::lock()?;
    match cli.command {
        Command::Build { .. } => {} // done above, since it needs no root
        Command::Up { chapter } => up(name, &chapter)?,
        Command::Install { chapter } => install(name, &chapter)?,
        Command::Uninstall => {
            let (mut entry, node) = running(name)?;
            chapter::uninstall(&node)?;
            entry.set_chapter("none")?;
            println!("node/{name} has no CNI plugin");
        }
        Command::Nodes { output } => nodes(output)?,
        Command::Pod(PodCommand::Run { name: pod, namespace, labels }) => {
            run_pod(&running(name)?.1, pod, namespace.namespace, &labels)?;
        }
        Command::Pod(PodCommand::Rm { names, namespace }) => {
            let (_, node) = running(name)?;
            for pod in names {
                node.remove_pod(&namespace.namespace, &pod)?;
                println!("pod \"{pod}\" deleted");
            }
        }
        Command::Pods { namespace, all_namespaces, show_labels, output } => {
            let only = (!all_namespaces).then_some(namespace.namespace);
            pods(&running(name)?.1, only.as_deref(), show_labels, output)?;
        }
        Command::Exec { pod, namespace, argv } => {
            let (_, node) = running(name)?;
            let pod = node.pod(&namespace.namespace, &pod)?;
            let command = pod.command(&node, &argv[0])?;
            drop(lock);
            return exit_code(command, &argv);
        }
        Command::NodeExec { argv } => {
            let (_, node) = running(name)?;
            drop(lock);
            return exit_code(node.command(&argv[0]), &argv);
        }
        Command::Down { all } => down(name, all)?,
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

fn up(name: &str, chapter: &str) -> Result<()> {
    if let Some(entry) = registry::find(name)? {
        if entry.node().is_ok() {
            if entry.chapter != chapter {
                bail!(
                    "node {name} is up with {}: run `lab install {chapter}` to change it, or \
                     `lab down` to start anew",
                    entry.chapter
                );
            }
            println!("node/{name} is up");
            return Ok(());
        }
        entry.remove()?;
    }
    if chapter != "none" {
        chapter::build(chapter)?; // a chapter that does not build leaves no node behind
    }
    let (mut entry, node) = registry::create(name, now())?;
    if chapter != "none" {
        chapter::install(&node, chapter)?;
        entry.set_chapter(chapter)?;
    }
    println!("node/{name} created");
    Ok(())
}

fn install(name: &str, chapter: &str) -> Result<()> {
    let (mut entry, node) = running(name)?;
    chapter::install(&node, chapter)?;
    entry.set_chapter(chapter)?;
    node.sync()?;
    println!("node/{name} has the CNI plugin of {chapter}");
    Ok(())
}

fn nodes(output: Option<Output>) -> Result<()> {
    let entries = registry::entries()?;
    if entries.is_empty() {
        println!("No nodes found: run `lab up ch1`.");
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

fn run_pod(node: &Node, name: String, namespace: String, labels: &[String]) -> Result<()> {
    for part in [&name, &namespace] {
        let rule = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if part.is_empty() || !part.chars().all(rule) || part.starts_with(['-', '.']) {
            bail!("{part:?} is no name of Kubernetes: lower case letters, digits, '-' and '.'");
        }
    }
    let mut spec = PodSpec::new(&name).namespace(namespace);
    for label in labels {
        let Some((key, value)) = label.split_once('=') else {
            bail!("label {label:?} must be KEY=VALUE");
        };
        spec = spec.label(key, value);
    }
    match node.run_pod(spec) {
        Err(RunPodError::Lab(error)) => return Err(error),
        // As with kubectl, the pod is created; that it does not run is seen by `lab pods`.
        Err(error @ RunPodError::Plugin(_)) => eprintln!("warning: {error}"),
        Err(RunPodError::NotReady(_)) | Ok(_) => {}
    }
    println!("pod/{name} created");
    Ok(())
}

fn pods(node: &Node, only: Option<&str>, show_labels: bool, output: Option<Output>) -> Result<()> {
    let mut pods = node.pods()?;
    pods.retain(|pod| only.is_none_or(|namespace| pod.spec.namespace == namespace));
    if output == Some(Output::Json) {
        println!("{}", serde_json::to_string_pretty(&pods)?);
        return Ok(());
    }
    if pods.is_empty() {
        println!(
            "No resources found{}.",
            only.map_or(String::new(), |it| format!(" in {it} namespace"))
        );
        return Ok(());
    }
    let mut columns: Vec<(&str, Vec<String>)> = Vec::new();
    let mut column = |title, cell: &dyn Fn(&lab::Pod) -> String| {
        columns.push((title, pods.iter().map(cell).collect()));
    };
    if only.is_none() {
        column("NAMESPACE", &|pod| pod.spec.namespace.clone());
    }
    column("NAME", &|pod| pod.spec.name.clone());
    column("READY", &|pod| if pod.phase == Phase::Running { "1/1" } else { "0/1" }.into());
    column("STATUS", &|pod| format!("{:?}", pod.phase));
    column("AGE", &|pod| age(pod.created));
    column("IP", &|pod| pod.ip.map_or("<none>".into(), |ip| ip.to_string()));
    if show_labels {
        column("LABELS", &|pod| labels_of(&pod.spec.labels));
    }
    if output == Some(Output::Wide) {
        column("MESSAGE", &|pod| pod.message.clone());
    }
    table::print(&columns);
    Ok(())
}

fn labels_of(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

fn down(name: &str, all: bool) -> Result<()> {
    let mut entries = registry::entries()?;
    entries.retain(|entry| all || entry.name == name);
    for entry in entries {
        entry.remove()?;
        println!("node/{} deleted", entry.name);
    }
    Ok(())
}

/// Runs a command for a person and passes its exit status on.
fn exit_code(mut command: Process, argv: &[String]) -> Result<ExitCode> {
    let status = command.args(&argv[1..]).status();
    let status = status.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no command {:?}", argv[0]),
        _ => anyhow::anyhow!("cannot run {:?}: {error}", argv[0]),
    })?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
