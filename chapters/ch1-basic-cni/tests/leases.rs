//! Addresses: never two pods with one, never one lost.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use lab::{CniCall, CniOutput, Node, feed};
use plugin::{add, address, assert_no_pod_left, conf, conf_with, del, fail, node, succeed};
use serde_json::json;

/// A call that must succeed, as a runtime makes it: "try again later" is taken at its word. On a busy
/// machine a queue of two hundred is longer than the ten seconds that each waits for the lock.
fn in_turn(node: &Node, call: &CniCall) -> CniOutput {
    let start = Instant::now();
    loop {
        let output = node.cni(call).unwrap();
        let is_busy = output.json().is_ok_and(|error| error["code"] == 11);
        if !is_busy || start.elapsed() > Duration::from_secs(60) {
            assert!(output.success(), "{call:?}\n{output:?}");
            return output;
        }
    }
}

#[test]
fn two_hundred_pods_at_once_get_two_hundred_addresses() {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/23" }));
    let pods: Vec<_> = (0..200).map(|_| node.sandbox().unwrap()).collect();
    let given = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for pod in &pods {
            scope.spawn(|| {
                let result = in_turn(&node, &CniCall::add(pod, &conf)).json().unwrap();
                given.lock().unwrap().push(address(&result));
            });
        }
    });
    let given = given.into_inner().unwrap();
    let different: HashSet<_> = given.iter().collect();
    assert_eq!((given.len(), different.len()), (200, 200));
    for reserved in ["10.13.0.0", "10.13.0.1", "10.13.1.255"] {
        assert!(!different.contains(&reserved.to_string()), "{reserved} was given to a pod");
    }
    thread::scope(|scope| {
        for pod in &pods {
            scope.spawn(|| in_turn(&node, &CniCall::del(pod, &conf)));
        }
    });
    assert_no_pod_left(&node);
}

#[test]
fn a_full_pool_refuses_and_each_freed_address_comes_back() {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/28" }));
    let pods: Vec<_> = (0..13).map(|_| node.sandbox().unwrap()).collect();
    let given: HashSet<_> = pods.iter().map(|pod| address(&add(&node, pod, &conf))).collect();
    let expected: HashSet<_> = (2..=14).map(|host| format!("10.13.0.{host}")).collect();
    assert_eq!(given, expected);
    let extra = node.sandbox().unwrap();
    let message = fail(&node, CniCall::add(&extra, &conf), 11);
    assert!(message.contains("10.13.0.0/28"), "{message}");
    for pod in &pods {
        del(&node, pod, &conf);
        let new = node.sandbox().unwrap();
        add(&node, &new, &conf);
    }
    fail(&node, CniCall::add(&extra, &conf), 11);
}

#[test]
fn a_freed_address_rests_until_the_others_had_their_turn() {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
    let mut given = Vec::new();
    for _ in 0..11 {
        let pod = node.sandbox().unwrap();
        given.push(address(&add(&node, &pod, &conf)));
        del(&node, &pod, &conf);
    }
    let turn: Vec<_> = (2..=6).map(|host| format!("10.13.0.{host}")).collect();
    assert_eq!(given[..5], turn);
    assert_eq!(given[5..10], turn);
    assert_eq!(given[10], turn[0]);
}

#[test]
fn damaged_lease_files_lose_no_address_and_give_none_twice() {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
    let pods: Vec<_> = (0..3).map(|_| node.sandbox().unwrap()).collect();
    for pod in &pods {
        add(&node, pod, &conf);
    }
    node.sh("cd /run/ebpfcni/ebpfcni; for lease in *@*; do : >$lease; done; echo nonsense >last
         echo '{' >10.13.0.5; : >''10.13.0.6@; mkdir nonsense@nonsense; : >10.13.0.300@vethx")
        .unwrap();
    // The damaged leases still hold .2 to .4: their names say so.
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    assert_eq!(address(&add(&node, &a, &conf)), "10.13.0.5");
    for pod in &pods {
        del(&node, pod, &conf);
    }
    assert_ne!(address(&add(&node, &b, &conf)), "10.13.0.5");
    let stale = conf_with(json!({ "podcidr": "10.13.0.0/29", "cni.dev/valid-attachments": [] }));
    let gc = CniCall::new("GC").env("CNI_PATH", "/opt/cni/bin").stdin(stale.to_string());
    succeed(&node, gc);
    let left = node.sh("cd /run/ebpfcni/ebpfcni; ls -d [0-9]*@* 2>/dev/null || true").unwrap();
    assert_eq!(left.trim(), "10.13.0.300@vethx", "no address: none of ours");
}

#[test]
fn a_lease_whose_name_belongs_to_another_container_is_left_alone() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf());
    // As if another container's hash had collided with this one's.
    node.sh(
        r#"cd /run/ebpfcni/ebpfcni; echo '{"containerID":"other","ifname":"eth0"}' >"$(echo *@*)""#,
    )
    .unwrap();
    del(&node, &pod, &conf());
    let host = result["interfaces"][1]["name"].as_str().unwrap();
    node.run(&["ip", "link", "show", host]).unwrap();
}

#[test]
fn a_held_lock_is_try_again_later() {
    let node = node();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    let mut holder = node
        .command("flock")
        .args(["/run/ebpfcni/ebpfcni/lock", "sh", "-c", "echo held; exec sleep 60"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = holder.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let other = node.sandbox().unwrap();
    let message = fail(&node, CniCall::add(&other, &conf()), 11);
    assert!(message.contains("/run/ebpfcni/ebpfcni/lock"), "{message}");
    // The node's end is the end of flock's child, which still holds the lock.
    drop(node);
    holder.wait().unwrap();
}

#[test]
fn an_unusable_lease_dir_is_an_error_that_names_it() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let conf = conf_with(json!({ "leaseDir": "/proc/nowhere" }));
    assert!(fail(&node, CniCall::add(&pod, &conf), 5).contains("/proc/nowhere"));
    assert_no_pod_left(&node);
}

/// Every file and directory below, with its mode; but not a later chapter's agent's.
fn modes(node: &Node, dir: &str) -> Vec<String> {
    let find = format!("find {dir} -name .agent -prune -o ! -type s -printf '%y %m %p\\n'");
    node.sh(&find).unwrap().lines().map(String::from).collect()
}

fn assert_roots_alone(node: &Node, dir: &str) {
    let modes = modes(node, dir);
    assert!(modes.len() >= 4, "{modes:?}");
    for it in modes {
        assert!(it.starts_with("d 700 ") || it.starts_with("f 600 "), "{it}");
    }
}

#[test]
fn leases_are_roots_alone_whatever_the_umask_and_whoever_made_them() {
    let node = node();
    let mut pods = Vec::new();
    for umask in ["0", "022", "077"] {
        let pod = node.sandbox().unwrap();
        let wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"];
        let call = CniCall::add(&pod, &conf());
        let mut child = node.start_cni(&call, &wrapper).unwrap();
        feed(&mut child, call.input()).unwrap();
        assert!(child.wait().unwrap().success());
        pods.push(pod);
        assert_roots_alone(&node, "/run/ebpfcni");
    }
    // As an older plugin left them, for whoever comes first.
    let loosen = "chmod -R a+rX /run/ebpfcni";
    node.sh(loosen).unwrap();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    assert_roots_alone(&node, "/run/ebpfcni");
    node.sh(loosen).unwrap();
    del(&node, &pod, &conf());
    assert_roots_alone(&node, "/run/ebpfcni");
}

#[test]
fn nobody_but_root_can_hold_the_lock() {
    let node = node();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    let lock = "/run/ebpfcni/ebpfcni/lock";
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    for try_lock in [["flock", lock, "true"], ["flock", "-s", lock]] {
        let argv = [&nobody[..], &try_lock, &["true"]].concat();
        assert!(node.run(&argv).is_err(), "{argv:?}");
    }
}

#[test]
fn a_lease_dir_of_somebody_elses_keeps_its_mode() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.run(&["mkdir", "-m", "0755", "/run/theirs"]).unwrap();
    let conf = conf_with(json!({ "leaseDir": "/run/theirs" }));
    add(&node, &pod, &conf);
    assert_eq!(modes(&node, "/run/theirs")[0], "d 755 /run/theirs");
    assert_roots_alone(&node, "/run/theirs/ebpfcni");
}
