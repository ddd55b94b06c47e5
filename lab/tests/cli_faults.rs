//! The `lab` command when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;

use fake::cli::{LAB, Lab, sentence};
use fake::{runs, wait_until};
use serde_json::Value;

#[test]
fn a_refused_pod_is_created_with_a_warning_and_says_why_it_waits() {
    let lab = Lab::up("refused", true);
    let refuse = r#"echo 'echo "{ \"code\": 11, \"msg\": \"not\", \"details\": \"today\" }"; exit 1' >/run/fake/one.ADD"#;
    lab.ok(&["node-exec", "--", "sh", "-c", refuse]);
    let output = lab.run(&["pod", "run", "a"]);
    assert!(output.status.success());
    assert_eq!(output.stdout, b"pod/a created\n");
    let why = "failed to setup network for sandbox: plugin type=\"one\" failed (add): not: today";
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("warning: {why}\n"));
    let pods = lab.pods(&["-o", "wide"]);
    assert_eq!((pods[1][2].as_str(), pods[1][5].as_str()), ("ContainerCreating", why));
}

#[test]
fn a_container_whose_add_was_cut_off_by_a_kill_is_deleted_and_made_anew() {
    let lab = Lab::up("cut", true);
    let cut = "echo 'rm one.ADD; kill -9 $PPID' >/run/fake/one.ADD";
    lab.ok(&["node-exec", "--", "sh", "-c", cut]);
    assert_eq!(lab.run(&["pod", "run", "a"]).status.signal(), Some(9));
    assert_eq!(lab.pods(&[])[1][2], "Running");
    let look =
        "cd /run/fake/calls; cat */environment | grep -E 'COMMAND|CONTAINERID'; ls /run/netns";
    let log = lab.ok(&["node-exec", "--", "sh", "-c", look]);
    let commands = log.lines().filter_map(|line| line.strip_prefix("CNI_COMMAND="));
    assert_eq!(commands.collect::<Vec<_>>(), ["ADD", "DEL", "ADD"]);
    let ids: Vec<_> = log.lines().filter(|line| line.starts_with("CNI_CONTAINERID")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{log}");
    assert_eq!(log.lines().filter(|line| line.starts_with("cni-")).count(), 1, "{log}");
}

#[test]
fn the_node_keeps_nothing_of_the_terminal_that_made_it() {
    let lab = Lab::new("terminal");
    let path = std::env::temp_dir().join(&lab.0);
    let terminal = fs::File::create_new(&path).unwrap();
    let mut up = lab.command(&["up", "none"]);
    let status = up.stdout(terminal.try_clone().unwrap()).stderr(terminal).status();
    let said = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(status.unwrap().success());
    assert_eq!(said, format!("node/{} created\n", lab.0));
    for fd in 0..3 {
        let file = format!("/proc/{}/fd/{fd}", lab.holder());
        let is_null = || fs::read_link(&file).unwrap() == Path::new("/dev/null");
        wait_until(&format!("the holder's {fd} is /dev/null"), is_null);
    }
}

#[test]
fn down_and_up_clean_up_after_a_killed_holder() {
    for again in [false, true] {
        let lab = Lab::up(if again { "again" } else { "killed" }, true);
        let daemon = lab.start_daemon();
        lab.kill_holder();
        assert!(runs(daemon));
        let node = lab.node();
        assert_eq!(node[1], "NotReady");
        assert!(node[4].contains("is gone"), "{node:?}");
        let error = lab.fails(&["pods"]);
        assert!(error.contains(&format!("run `lab down --node {}` to clean up", lab.0)), "{error}");
        if again {
            lab.make();
            assert!(runs(lab.holder()));
        } else {
            assert_eq!(lab.ok(&["down"]), format!("node/{} deleted\n", lab.0));
        }
        assert!(!runs(daemon));
    }
}

#[test]
fn down_ends_a_node_that_was_half_made() {
    let lab = Lab::up("half", false);
    let holder = lab.holder();
    let mut entry: Value = serde_json::from_slice(&fs::read(lab.entry()).unwrap()).unwrap();
    entry["pid"] = Value::Null; // as it is until the holder is ready
    let new = lab.entry().with_extension("new"); // by rename: other tests read it, too
    fs::write(&new, entry.to_string()).unwrap();
    fs::rename(&new, lab.entry()).unwrap();
    assert!(lab.node()[4].contains("half made"), "{:?}", lab.node());
    lab.ok(&["down"]);
    assert!(!runs(holder) && !lab.entry().exists());
}

#[test]
fn a_mistake_is_answered_with_one_sentence() {
    let lab = Lab::new("mistakes");
    let name = lab.0.clone();
    let no_node = format!("there is no node {name}: run `lab up ch1`");
    for args in [&["pods"][..], &["install", "ch1"], &["exec", "a", "--", "true"], &["uninstall"]] {
        assert!(lab.fails(args).starts_with(&no_node), "{args:?}");
    }
    assert!(lab.fails(&["up", "ch9"]).starts_with("there is no chapter \"ch9\"; there are: ch1-"));
    assert!(lab.fails(&["build", "ch9"]).starts_with("there is no chapter \"ch9\""));
    assert!(!lab.entry().exists());
    let output = Command::new(LAB).args(["--node", "../up", "up", "none"]).output().unwrap();
    assert!(sentence(&output).contains("\"../up\""), "{output:?}");

    let lab = Lab::up("mistakes", true);
    lab.ok(&["pod", "run", "a"]);
    let cases = [
        (&["pod", "run", "a"][..], "pods \"a\" already exists"),
        (&["pod", "run", "Big_Name"], "\"Big_Name\""),
        (&["pod", "run", "b", "-n", "../up"], "\"../up\""),
        (&["pod", "run", "b", "--labels", "x"], "label \"x\" must be KEY=VALUE"),
        (&["pod", "rm", "b"], "pods \"b\" not found in namespace default"),
        (&["exec", "b", "--", "true"], "pods \"b\" not found in namespace default"),
        (&["exec", "a", "--", "no-such"], "there is no command \"no-such\""),
        (&["node-exec", "--", "no-such"], "there is no command \"no-such\""),
        (&["node-exec", "--", "/etc/passwd"], "cannot run \"/etc/passwd\""),
    ];
    for (args, expected) in cases {
        let error = lab.fails(args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    assert_eq!(lab.pods(&["-A"]).len(), 2);
}

#[test]
fn who_is_not_root_is_told_so() {
    // A copy that everybody may run, by `cp`: a file this process wrote may be busy.
    let copy = std::env::temp_dir().join(format!("lab-test-{}", std::process::id()));
    assert!(Command::new("install").args(["-m755", LAB]).arg(&copy).status().unwrap().success());
    let output = Command::new(&copy).args(["up", "none"]).uid(65534).gid(65534).output();
    fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(sentence(&output).ends_with("run it with sudo"), "{output:?}");
}
