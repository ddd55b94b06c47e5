//! A `lab` command that is killed in the middle of it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::process::{Command, Stdio};

use fake::cli::{Files, LAB, Lab};
use fake::{answer, manifest, manifests, shop};

#[test]
fn a_killed_command_leaves_no_half_written_manifest() {
    let lab = Lab::up("half-written", true);
    let files = Files::new(&lab);
    let node = lab.inside();
    node.apply(&shop()).unwrap();
    let mut round = 0;
    for (call, least) in [("openat", 10), ("write", 4), ("rename", 4)] {
        // Killed at its first such call, then at its second, until it is not killed any more.
        for kill in 1.. {
            round += 1;
            let text = shop().replace("team: a", &format!("team: t{round}"));
            let text = text.replace("app: web", &format!("app: a{round}"));
            let inject = format!("inject={call}:signal=SIGKILL:when={kill}");
            let status = Command::new("strace")
                .args([
                    "-f",
                    "-qqq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={call}"),
                    "-e",
                    &inject,
                ])
                .args([LAB, "--node", &lab.0, "apply", "-f", &files.add("a.yaml", &text)])
                .stdout(Stdio::null())
                .status();
            let names = manifests(&node).into_iter().filter(|name| !name.starts_with('.'));
            let whole = names.map(|name| manifest(&node, &name).unwrap()); // panics if it is not
            assert_eq!(whole.count(), 4, "{call} {kill}");
            if status.unwrap().success() {
                assert!(kill > least, "{call} {kill}");
                break;
            }
        }
    }
    let labels = &manifest(&node, "pod_shop_web.yaml").unwrap()["metadata"]["labels"];
    assert_eq!(labels["app"], format!("a{round}"));
}

#[test]
fn a_removal_that_was_cut_off_by_a_kill_is_finished_by_the_next_command() {
    let lab = Lab::up("cut-del", true);
    lab.ok(&["pod", "run", "a"]);
    let node = lab.inside();
    answer(&node, "one.DEL", "rm one.DEL; kill -9 $PPID");
    assert!(!lab.run(&["pod", "rm", "a"]).status.success());
    assert!(
        manifest(&node, "pod_default_a.yaml").unwrap()["metadata"]["deletionTimestamp"].is_string()
    );
    assert_eq!(lab.ok(&["pods"]), "No resources found in default namespace.\n");
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}
