//! What if it fails, or dies, between any two system calls? strace makes it so, one by one.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::collections::{HashMap, HashSet};
use std::fs;

use lab::{CniCall, CniOutput, Node, Sandbox, feed};
use plugin::{add, address, assert_no_pod_left, conf, conf_with, del, node, succeed, traces};
use serde_json::json;

/// The calls by which the plugin changes or learns something.
const CALLS: &str = "open,openat,read,write,mkdir,unlink,flock,socket,bind,sendto,recvfrom,\
                     setns,statx,getdents64,epoll_create1,epoll_ctl,eventfd2,bpf,\
                     rename,symlink,statfs";

/// Runs a call under strace, which does `what` at the `nth` system call of one `kind`.
fn traced(node: &Node, call: &CniCall, kind: &str, what: &str, nth: usize) -> CniOutput {
    strace(node, call, &format!("inject={kind}:{what}:when={nth}"))
}

fn strace(node: &Node, call: &CniCall, option: &str) -> CniOutput {
    let trace = format!("trace={CALLS}");
    let wrapper = ["strace", "-f", "-o", "/run/lab/strace", "-e", &trace, "-e", option];
    let mut child = node.start_cni(call, &wrapper).unwrap();
    feed(&mut child, call.input()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    CniOutput { status: output.status, stdout: output.stdout, stderr }
}

/// The system calls of a complete run, each as its kind and its number within the kind.
/// They count from the first read of stdin: what was before is the loader's.
fn moments(node: &Node, call: &CniCall) -> Vec<(String, usize)> {
    let output = strace(node, call, "signal=none");
    assert!(output.success(), "{output:?}");
    let text = fs::read_to_string(node.path("/run/lab/strace")).unwrap();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut moments = Vec::new();
    for line in text.lines() {
        let Some((_, line)) = line.split_once(' ') else { continue };
        let Some((kind, arguments)) = line.trim().split_once('(') else { continue };
        let nth = seen.entry(kind).or_default();
        *nth += 1;
        if !moments.is_empty() || (kind == "read" && arguments.starts_with("0,")) {
            moments.push((kind.to_string(), *nth));
        }
    }
    assert!(moments.len() > 20, "{moments:?}");
    moments
}

/// A pod that is there all the time: whatever happens to others must leave it alone.
fn bystander(node: &Node) -> (Sandbox, String) {
    let pod = node.sandbox().unwrap();
    let address = address(&add(node, &pod, &conf()));
    (pod, address)
}

#[test]
fn an_add_that_fails_at_any_system_call_leaves_nothing() {
    let node = node();
    bystander(&node);
    let probe = node.sandbox().unwrap();
    let moments = moments(&node, &CniCall::add(&probe, &conf()));
    del(&node, &probe, &conf());
    let before = traces(&node);
    let (mut failed, mut survived) = (0, 0);
    for (kind, nth) in moments {
        let pod = node.sandbox().unwrap();
        let output = traced(&node, &CniCall::add(&pod, &conf()), &kind, "error=EIO", nth);
        if output.success() {
            // It did without that call: then all of it must work.
            survived += 1;
            let prev = json!({ "prevResult": output.json().unwrap() });
            succeed(&node, CniCall::check(&pod, &conf_with(prev)));
        } else {
            failed += 1;
            let code = output.error_code();
            // Only if the result itself cannot be written is there none, and the ADD is done.
            if code.is_none() {
                assert!(kind == "write" && output.stdout.is_empty(), "{kind} {nth}: {output:?}");
            } else if !output.stderr.contains("DEL will") {
                assert_eq!(traces(&node), before, "{kind} {nth}: {output:?}");
            }
        }
        del(&node, &pod, &conf());
        assert_eq!(traces(&node), before, "{kind} {nth} after DEL");
        pod.remove(&node).unwrap();
    }
    assert!(failed > 20, "only {failed} calls failed, {survived} did without");
}

#[test]
fn an_add_killed_at_any_system_call_is_put_right_by_del() {
    let node = node();
    let (_, taken) = bystander(&node);
    let probe = node.sandbox().unwrap();
    let moments = moments(&node, &CniCall::add(&probe, &conf()));
    del(&node, &probe, &conf());
    let before = traces(&node);
    for (kind, nth) in moments {
        let pod = node.sandbox().unwrap();
        let call = CniCall::add(&pod, &conf());
        let output = traced(&node, &call, &kind, "signal=SIGKILL", nth);
        assert!(!output.success(), "{kind} {nth} was not killed: {output:?}");
        // Meanwhile another pod comes: it must not get an address that is still in use.
        let other = node.sandbox().unwrap();
        assert_ne!(address(&add(&node, &other, &conf())), taken);
        assert_addresses_are_unique(&node);
        del(&node, &other, &conf());
        del(&node, &pod, &conf());
        assert_eq!(traces(&node), before, "{kind} {nth}");
        for sandbox in [pod, other] {
            sandbox.remove(&node).unwrap();
        }
    }
}

/// Every moment of a DEL, once beside another pod and once of the node's last.
fn at_every_moment_of_del(check: impl Fn(&Node, &Sandbox, &str, usize, &str)) {
    for last in [false, true] {
        let node = node();
        if !last {
            bystander(&node);
        }
        let probe = node.sandbox().unwrap();
        add(&node, &probe, &conf());
        let moments = moments(&node, &CniCall::del(&probe, &conf()));
        let before = traces(&node);
        for (kind, nth) in moments {
            let pod = node.sandbox().unwrap();
            add(&node, &pod, &conf());
            check(&node, &pod, &kind, nth, &before);
            assert_lease_outlives_link(&node);
            del(&node, &pod, &conf());
            assert_eq!(traces(&node), before, "{kind} {nth} after DEL");
            pod.remove(&node).unwrap();
        }
    }
}

#[test]
fn a_del_killed_at_any_system_call_is_finished_by_the_next() {
    at_every_moment_of_del(|node, pod, kind, nth, _| {
        let output = traced(node, &CniCall::del(pod, &conf()), kind, "signal=SIGKILL", nth);
        assert!(!output.success(), "{kind} {nth} was not killed: {output:?}");
    });
}

#[test]
fn a_del_that_fails_at_any_system_call_says_so_or_has_done_it() {
    at_every_moment_of_del(|node, pod, kind, nth, before| {
        let output = traced(node, &CniCall::del(pod, &conf()), kind, "error=EIO", nth);
        if output.success() {
            assert_eq!(traces(node), before, "{kind} {nth}");
        } else {
            assert!(output.error_code().is_some(), "{kind} {nth}: {output:?}");
        }
    });
}

#[test]
fn fifty_adds_and_dels_killed_at_random_moments_leave_nothing() {
    let node = node();
    for round in 0..50 {
        let pod = node.sandbox().unwrap();
        if round % 2 == 1 {
            add(&node, &pod, &conf());
        }
        let call = match round % 2 {
            0 => CniCall::add(&pod, &conf()),
            _ => CniCall::del(&pod, &conf()),
        };
        let mut child = node.start_cni(&call, &[]).unwrap();
        feed(&mut child, call.input()).unwrap();
        // Not a wait for something: the moment itself is what varies.
        std::thread::sleep(std::time::Duration::from_micros(fastrand_below(6000)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_addresses_are_unique(&node);
        assert_lease_outlives_link(&node);
        del(&node, &pod, &conf());
        assert_no_pod_left(&node);
        pod.remove(&node).unwrap();
    }
}

/// Below `limit`, from the clock: good enough to hit different moments.
fn fastrand_below(limit: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::from(now.subsec_nanos()) % limit
}

fn assert_addresses_are_unique(node: &Node) {
    let traces = traces(node);
    let leases = traces.lines().filter_map(|line| line.strip_prefix("./")?.split_once('@'));
    let addresses: Vec<_> = leases.map(|(address, _)| address.rsplit('/').next()).collect();
    let different: HashSet<_> = addresses.iter().collect();
    assert_eq!(different.len(), addresses.len(), "{traces}");
}

/// No link without a lease: its address could be given away while it is in use.
fn assert_lease_outlives_link(node: &Node) {
    let traces = traces(node);
    for link in traces.lines().filter(|line| line.starts_with("veth")) {
        assert!(traces.contains(&format!("@{link}")), "{link} has no lease:\n{traces}");
    }
}
