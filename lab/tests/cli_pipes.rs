//! `lab … | head`: a reader who wants no more.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::process::{Command, Stdio};

use fake::cli::{Files, Lab, sentence};
use fake::{before_ready, manifests, shop};

/// A pipe whose reader has gone.
fn unread() -> PipeWriter {
    pipe().unwrap().1
}

/// A node with all that there is to print: two pods, a policy, an agent with a log.
fn up(test: &str) -> (Lab, Files) {
    let lab = Lab::up(test, true);
    lab.give_agent();
    before_ready(&lab.inside(), "seq 20");
    lab.ok(&["agent", "start"]);
    let files = Files::new(&lab);
    lab.ok(&["apply", "-f", &files.add("shop.yaml", &shop())]);
    lab.ok(&["pod", "run", "a"]);
    (lab, files)
}

#[test]
fn without_a_reader_nothing_is_said_and_all_is_done() {
    let (lab, files) = up("unread");
    let file = files.add("b.yaml", &shop().replace("shop", "b"));
    let commands = [
        "up none",
        "nodes",
        "nodes -o wide",
        "pods",
        "pods -A -o json",
        "pods -n nowhere",
        "get ns",
        "get netpol -n shop",
        "get netpol",
        "--help",
        "pod --help",
        "agent log",
        "agent stop",
        "agent start",
        "pod run b",
        "pod rm a b",
        "create namespace c",
        "label ns c a=b",
        &format!("apply -f {file}"),
        &format!("delete -f {file}"),
        "delete ns shop c",
        "node-exec -- true",
        "agent kill",
        "uninstall",
    ];
    for command in commands {
        let args: Vec<_> = command.split(' ').collect();
        let output = lab.command(&args).stdout(unread()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    }
    assert_eq!(manifests(&lab.inside()), ["namespace_default.yaml"]);
    // Nor need anybody read what is wrong.
    for (command, code) in [("pod rm a", 1), ("exec a -- true", 1), ("no-such-command", 2)] {
        let args: Vec<_> = command.split(' ').collect();
        let status = lab.command(&args).stdout(unread()).stderr(unread()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{command}");
    }
    let status = lab.command(&["down"]).stdout(unread()).status().unwrap();
    assert!(status.success() && !lab.entry().exists());
}

#[test]
fn a_full_disk_is_said_and_all_is_done() {
    let (lab, _files) = up("full");
    for command in ["pods", "nodes", "agent log", "pod rm a"] {
        let args: Vec<_> = command.split(' ').collect();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = lab.command(&args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(sentence(&output), "stdout could not be written: is the disk full?");
    }
    assert_eq!(lab.pods(&[]).len(), 1);
}

#[test]
fn a_signal_that_ends_a_command_is_in_the_exit_status_as_in_a_shells() {
    let lab = Lab::up("signal", true);
    for (signal, code) in [("PIPE", 141), ("TERM", 143)] {
        let script = format!("kill -{signal} $$");
        assert_eq!(lab.run(&["node-exec", "--", "sh", "-c", &script]).status.code(), Some(code));
    }
    let mut yes = lab.command(&["node-exec", "--", "yes"]).stdout(unread()).spawn().unwrap();
    assert_eq!(yes.wait().unwrap().code(), Some(141));
}

#[test]
fn building_is_no_exception() {
    let mut command = Command::new(fake::cli::LAB);
    let output = command.args(["build", "nowhere"]).stdout(Stdio::null()).stderr(unread()).status();
    assert_eq!(output.unwrap().code(), Some(1));
}
