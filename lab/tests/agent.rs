//! The agent as a daemon of the node.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fake::{AGENT, before_ready, node, runs, seen, wait_until};
use lab::Node;

/// A node whose agent runs.
fn with_agent() -> (Node, u32) {
    let node = node();
    node.start_agent(Path::new(AGENT)).unwrap();
    let pid = node.agent_pid().unwrap();
    (node, pid)
}

#[test]
fn an_agent_is_started_on_its_node_with_the_manifests_and_the_nodes_name() {
    let (node, pid) = with_agent();
    let arguments = format!("run --manifests /run/lab/manifests --node {}\n", node.name());
    assert_eq!(seen(&node, "starts"), arguments);
    assert!(seen(&node, "found").contains("namespace_default.yaml"));
    assert_eq!(node.agent_log(), "starts\nREADY\n");
    let namespaces =
        |pid: u32| ["net", "mnt"].map(|it| fs::read_link(format!("/proc/{pid}/ns/{it}")));
    assert_eq!(namespaces(pid).map(Result::unwrap), namespaces(node.pid()).map(Result::unwrap));
}

#[test]
fn an_agent_keeps_nothing_of_who_started_it() {
    let (node, pid) = with_agent();
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("fd/0"), Path::new("/dev/null"));
    assert_eq!(link("fd/1"), Path::new("/run/lab/agent.log"));
    assert_eq!(link("fd/1"), link("fd/2"));
    assert_eq!(
        node.run(&["ps", "-o", "sid=", "-p", &pid.to_string()]).unwrap().trim(),
        pid.to_string()
    );
    assert_eq!(seen(&node, "from"), "/\n");
}

#[test]
fn start_returns_when_the_agent_is_ready_and_not_before() {
    let node = node();
    before_ready(&node, "until [ -e go ]; do sleep 0.01; done");
    std::thread::scope(|scope| {
        let start = scope.spawn(|| node.start_agent(Path::new(AGENT)).unwrap());
        wait_until("it runs", || node.agent_log() == "starts\n");
        assert!(!start.is_finished());
        fs::write(node.path("/run/fake/agent/go"), "").unwrap();
    });
    assert!(node.agent_log().ends_with("READY\n"));
}

#[test]
fn an_agent_that_ends_before_it_is_ready_is_an_error_with_what_it_said() {
    let node = node();
    before_ready(&node, "seq 20; exit 3");
    let error = node.start_agent(Path::new(AGENT)).unwrap_err().to_string();
    let tail: String = (11..=20).map(|line| format!("\n{line}")).collect();
    assert_eq!(error, format!("the agent has ended; it said:{tail}"));
    assert_eq!(node.agent_pid(), None);
    before_ready(&node, "");
    node.start_agent(Path::new(AGENT)).unwrap();
}

#[test]
fn an_agent_that_is_never_ready_can_be_spawned_and_is_not_waited_for_for_ever() {
    let node = node();
    before_ready(&node, "echo not READY; sleep infinity & wait");
    node.spawn_agent(Path::new(AGENT)).unwrap();
    wait_until("it hangs", || node.agent_log() == "starts\nnot READY\n");
    let error = node.wait_for_agent(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.starts_with("the agent is not READY after 50ms; it said:\nstarts"), "{error}");
    assert!(runs(node.agent_pid().unwrap()));
}

#[test]
fn a_second_agent_is_refused() {
    let (node, pid) = with_agent();
    let error = node.start_agent(Path::new(AGENT)).unwrap_err().to_string();
    assert_eq!(error, format!("the agent runs already, as process {pid}"));
    assert_eq!(seen(&node, "starts").lines().count(), 1);
    assert_eq!(node.agent_pid(), Some(pid));
}

#[test]
fn stop_lets_the_agent_end_as_it_likes_and_kill_does_not() {
    let (node, pid) = with_agent();
    node.stop_agent().unwrap();
    assert!(!runs(pid));
    assert_eq!((node.agent_pid(), seen(&node, "ends").as_str()), (None, "TERM\n"));

    node.start_agent(&node.agent_program().unwrap()).unwrap();
    let pid = node.agent_pid().unwrap();
    node.kill_agent().unwrap();
    assert!(!runs(pid));
    assert_eq!((node.agent_pid(), seen(&node, "ends").as_str()), (None, "TERM\n"));

    node.stop_agent().unwrap();
    node.kill_agent().unwrap();
}

#[test]
fn stop_waits_until_the_agent_has_ended() {
    let node = node();
    let slow = "trap 'echo TERM >ends; until [ -e go ]; do sleep 0.01; done; exit' TERM; echo READY
        while :; do sleep 0.01; done";
    before_ready(&node, slow);
    node.start_agent(Path::new(AGENT)).unwrap();
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| node.stop_agent().unwrap());
        wait_until("it is asked to end", || seen(&node, "ends") == "TERM\n");
        assert!(!stop.is_finished() && node.agent_pid().is_some());
        fs::write(node.path("/run/fake/agent/go"), "").unwrap();
    });
    assert_eq!(node.agent_pid(), None);
}

#[test]
fn the_log_is_that_of_the_last_start() {
    let node = node();
    before_ready(&node, "echo first");
    node.start_agent(Path::new(AGENT)).unwrap();
    node.kill_agent().unwrap();
    assert_eq!(node.agent_log(), "starts\nfirst\nREADY\n");
    before_ready(&node, "echo second; exit");
    node.start_agent(Path::new(AGENT)).unwrap_err(); // the first READY is not its
    assert_eq!(node.agent_log(), "starts\nsecond\n");
}

#[test]
fn only_the_daemon_is_taken_for_the_agent() {
    let (node, pid) = with_agent();
    before_ready(&node, "sleep infinity & wait");
    let mut by_hand = node.command(lab::AGENT);
    by_hand.args(["run", "--manifests", "/run/lab/manifests"]).stdout(Stdio::null());
    let mut by_hand = by_hand.process_group(0).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it runs", || seen(&node, "starts").lines().count() == 2);
    assert_eq!(node.agent_pid(), Some(pid));
    node.kill_agent().unwrap();
    assert_eq!(node.agent_pid(), None);
    assert_eq!(by_hand.try_wait().unwrap(), None);
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
}

#[test]
fn the_agent_ends_with_its_node_and_not_with_another() {
    let [(node, pid), (other, others)] = [with_agent(), with_agent()];
    drop(node);
    assert!(!runs(pid) && runs(others));
    assert_eq!(other.agent_pid(), Some(others));
}

#[test]
fn its_program_is_replaced_while_it_runs_and_taken_away_with_it() {
    let (node, pid) = with_agent();
    let inode = |node: &Node| node.run(&["stat", "-c", "%i %a", lab::AGENT]).unwrap();
    let first = inode(&node);
    node.kill_agent().unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    assert!(first != inode(&node) && first.ends_with(" 755\n"));
    node.remove_agent().unwrap();
    node.remove_agent().unwrap();
    assert!(!runs(pid) && node.agent_pid().is_none() && node.agent_program().is_none());
    assert_eq!(node.sh("ls -A /run/lab/bin").unwrap(), "");
}
