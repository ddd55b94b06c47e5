//! Pods: run, remove, list.

use anyhow::Result;
use lab::{Node, PATIENCE, Phase, PodSpec, say};

use super::object::labels_from;
use super::{Namespace, none_found, running};
use crate::Output;
use crate::table::{self, Listed, age, labels_of};

/// `lab pod …`
#[derive(Debug, clap::Subcommand)]
pub enum PodCommand {
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

/// `lab pod`
pub fn pod(node: &str, command: PodCommand) -> Result<()> {
    let (_, node) = running(node)?;
    match command {
        PodCommand::Run { name, namespace, labels } => {
            run(&node, name, namespace.namespace, &labels)?;
        }
        PodCommand::Rm { names, namespace } => {
            for name in names {
                node.remove_pod(&namespace.namespace, &name)?;
                say(format_args!("pod \"{name}\" deleted"));
            }
        }
    }
    node.wait_until_in_force(PATIENCE)?; // that no agent runs its plugin has said
    Ok(())
}

fn run(node: &Node, name: String, namespace: String, labels: &[String]) -> Result<()> {
    lab::check_name(&name)?;
    lab::check_name(&namespace)?;
    let mut spec = PodSpec::new(&name).namespace(namespace);
    spec.labels = labels_from(labels)?;
    node.create_pod(spec)?;
    say(format_args!("pod/{name} created"));
    Ok(())
}

/// `lab pods`
pub fn list(node: &Node, listed: &Listed, output: Option<Output>) -> Result<()> {
    let only = listed.only();
    let mut pods = node.pods()?;
    pods.retain(|pod| only.is_none_or(|namespace| pod.spec.namespace == namespace));
    if output == Some(Output::Json) {
        say(serde_json::to_string_pretty(&pods)?);
        return Ok(());
    }
    if pods.is_empty() {
        none_found(only);
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
    if listed.show_labels {
        column("LABELS", &|pod| labels_of(&pod.spec.labels));
    }
    if output == Some(Output::Wide) {
        column("MESSAGE", &|pod| pod.message.clone());
    }
    table::print(&columns);
    Ok(())
}
