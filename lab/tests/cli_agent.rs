//! `lab agent` and `lab ebpf-agent`, as people type them.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fake::cli::{LAB, Lab};
use fake::{answer, before_ready, runs, seen};
use lab::Phase;

fn up(test: &str) -> Lab {
    let lab = Lab::up(test, true);
    lab.give_agent();
    lab
}

#[test]
fn the_daemon_is_started_stopped_and_killed_and_outlives_the_command() {
    let lab = up("daemon");
    let node = lab.inside();
    assert_eq!(lab.ok(&["agent", "stop"]), "agent does not run\n");
    assert_eq!(lab.ok(&["agent", "start"]), "agent started\n");
    let pid = node.agent_pid().unwrap();
    let error = lab.fails(&["agent", "start"]);
    assert_eq!(error, format!("the agent runs already, as process {pid}"));
    assert_eq!(lab.ok(&["agent", "log"]), "starts\nREADY\n");
    assert_eq!(lab.ok(&["agent", "stop"]), "agent stopped\n");
    assert_eq!((node.agent_pid(), seen(&node, "ends").as_str()), (None, "TERM\n"));
    lab.ok(&["agent", "start"]);
    assert_eq!(lab.ok(&["agent", "kill"]), "agent killed\n");
    assert_eq!((node.agent_pid(), seen(&node, "ends").as_str()), (None, "TERM\n"));
    assert_eq!(lab.ok(&["agent", "kill"]), "agent does not run\n");
}

#[test]
fn the_daemon_holds_nothing_of_the_command_that_started_it() {
    let lab = up("holds");
    let mut start = Command::new("sh");
    start.args(["-c", "exec \"$@\" 9</dev/zero", "sh", LAB, "--node", &lab.0, "agent", "start"]);
    // Not by `output`: should the agent keep its end of the pipe, that would hang.
    let mut start = start.stdout(Stdio::piped()).spawn().unwrap();
    assert!(start.wait().unwrap().success());
    let files = format!("/proc/{}/fd", lab.inside().agent_pid().unwrap());
    let links = fs::read_dir(files).unwrap().map(|file| fs::read_link(file.unwrap().path()));
    let links: BTreeSet<_> = links.map(Result::unwrap).collect();
    let own = ["/dev/null", "/run/lab/agent.log", lab::AGENT]; // the last for a script's shell
    assert_eq!(links, own.map(PathBuf::from).into());
}

#[test]
fn pods_that_waited_for_the_agent_get_their_network_when_it_starts() {
    let lab = up("waited");
    let node = lab.inside();
    answer(
        &node,
        "one.ADD",
        "[ -e agent/starts ] || exit 1; echo '{ \"ips\": [{ \"address\": \"10.0.0.2/24\" }] }'",
    );
    lab.ok(&["pod", "run", "a"]);
    assert_eq!(node.pod("default", "a").unwrap().phase, Phase::ContainerCreating);
    lab.ok(&["agent", "start"]);
    assert_eq!(node.pod("default", "a").unwrap().phase, Phase::Running);
}

#[test]
fn what_is_asked_of_the_agent_is_passed_on_as_it_is() {
    let lab = up("asked");
    for args in
        [&["endpoint", "list", "-o", "json"][..], &["--help"], &["-h"], &["monitor", "--node", "x"]]
    {
        let output = lab.run(&[&["ebpf-agent"], args].concat());
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("asked: {}\n", args.join(" "))
        );
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(7), &b""[..]));
    }
}

#[test]
fn an_agent_that_does_not_start_is_an_error_with_what_it_said() {
    let lab = up("ends");
    before_ready(&lab.inside(), "echo no maps; exit 1");
    let output = lab.run(&["agent", "start"]);
    assert_eq!(output.status.code(), Some(1));
    let error = "error: the agent has ended; it said:\nstarts\nno maps\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), error);
}

#[test]
fn a_node_without_an_agent_says_so() {
    let lab = Lab::up("agentless", true);
    let expected = format!("node {} has no agent: chapter 3 brings one", lab.0);
    assert_eq!(lab.fails(&["agent", "start"]), expected);
    assert_eq!(lab.fails(&["ebpf-agent", "monitor"]), expected);
    assert_eq!(lab.ok(&["agent", "log"]), "");
}

#[test]
fn uninstall_and_down_end_the_agent() {
    let lab = up("ended");
    lab.ok(&["agent", "start"]);
    let first = lab.inside().agent_pid().unwrap();
    lab.ok(&["uninstall"]);
    assert!(!runs(first));
    lab.give_agent();
    lab.ok(&["agent", "start"]);
    let second = lab.inside().agent_pid().unwrap();
    lab.kill_holder(); // `down` ends it even if its node is half dead
    assert!(runs(second));
    lab.ok(&["down"]);
    assert!(!runs(second));
}
