//! `ebpf-agent … | head`: a reader who wants no more.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::path::Path;
use std::process::Command;

use lab::Node;
use plugin::{AGENT, BINARY, ready_node};
use scene::{FRIENDS_ONLY, eventually, reaches, run};

/// What answers and ends.
const QUESTIONS: [&str; 15] = [
    "status",
    "metrics",
    "endpoint list",
    "endpoint list -o json",
    "endpoint get victim",
    "endpoint get victim -o json",
    "identity list",
    "bpf endpoint list",
    "bpf policy get",
    "bpf policy get victim -o json",
    "bpf ct list",
    "explain friend victim",
    "explain friend victim -o json",
    "completion bash",
    "--help",
];

/// A pipe whose reader has gone.
fn unread() -> PipeWriter {
    pipe().unwrap().1
}

fn agent(node: &Node, question: &str) -> Command {
    let mut command = node.command(lab::AGENT);
    command.args(question.split(' '));
    command
}

#[test]
fn an_answer_that_nobody_reads_ends_without_a_word_and_a_full_disk_is_said() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [friend, victim] = ["friend", "victim"].map(|app| run(&node, app));
    eventually("it is in force", || reaches(&node, &friend, &victim));
    for question in QUESTIONS {
        let output = agent(&node, question).stdout(unread()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{question}: {output:?}");
        if question == "--help" {
            continue; // clap's own
        }
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = agent(&node, question).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{question}");
        assert!(said.starts_with("error: cannot write to stdout: No space"), "{question}: {said}");
    }
    node.stop_agent().unwrap();
    for question in ["status", "endpoint list", "monitor"] {
        let status = agent(&node, question).stdout(unread()).stderr(unread()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{question}");
    }
}

/// Whoever keeps the log may be restarted.
#[test]
fn the_agent_goes_on_when_nobody_reads_what_it_says() {
    let node = Node::new().unwrap();
    node.install_plugin(Path::new(BINARY)).unwrap();
    node.write_manifest("broken.yaml", "{").unwrap(); // there is something to say
    node.sh(&format!("cp {AGENT} {}", lab::AGENT)).unwrap();
    let mut daemon = agent(&node, "run --manifests /run/lab/manifests --node a");
    let mut daemon = daemon.stdout(unread()).stderr(unread()).spawn().unwrap();
    let healthz = || agent(&node, "status").output().unwrap();
    eventually("it says what is missing", || {
        String::from_utf8_lossy(&healthz().stderr).contains("not all pods")
    });
    node.remove_manifest("broken.yaml").unwrap();
    eventually("it is ready", || healthz().status.success());
    node.write_manifest("broken.yaml", "{").unwrap();
    eventually("it tells of it", || {
        String::from_utf8_lossy(&healthz().stdout).contains("broken.yaml")
    });
    assert_eq!(daemon.try_wait().unwrap(), None);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
