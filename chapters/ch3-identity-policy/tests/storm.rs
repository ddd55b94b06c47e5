//! Bad days of the agent: killed at any moment, pods by the thousand.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::{Kind, Node, Pod, PodSpec, Raise};
use plugin::{AGENT, ready_node};
use scene::{FRIENDS_ONLY, maps};
use serde_json::Value;

fn run(node: &Node, name: &str, app: &str) -> Pod {
    node.run_pod(PodSpec::new(name).label("app", app)).unwrap()
}

/// What a fresh start makes of the same objects, with maps that were emptied before.
fn maps_of_a_fresh_start(node: &Node) -> (Value, BTreeSet<(u64, u64)>) {
    node.stop_agent().unwrap();
    node.sh("cd /sys/fs/bpf/tc/globals; for map in endpoint_map policy_map; do \
             bpftool -j map dump pinned $map | grep -o '\"key\":\\[[^]]*' | sed 's/.*\\[//; s/\"//g; s/,/ /g' | \
             while read -r key; do bpftool map delete pinned $map key $key; done; done")
        .unwrap();
    let (endpoints, pairs) = maps(node);
    assert_eq!((endpoints.as_array().unwrap().len(), pairs.len()), (0, 0), "not emptied");
    node.start_agent(Path::new(AGENT)).unwrap();
    maps(node)
}

#[test]
fn killed_a_hundred_times_while_pods_come_and_go_it_never_lets_in_who_is_denied() {
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let [victim, stranger] = ["victim", "stranger"].map(|app| run(&node, app, app));
    let socket = |pod: &Pod| {
        let open = || UdpSocket::bind("0.0.0.0:4000").unwrap();
        pod.sandbox.as_ref().unwrap().enter(&node, open).unwrap()
    };
    let (there, here) = (socket(&victim), socket(&stranger));
    there.set_nonblocking(true).unwrap();
    let over = AtomicBool::new(false);
    let (probes, killed) = std::thread::scope(|scope| {
        let prober = scope.spawn(|| {
            let mut probes = 0;
            while !over.load(Ordering::Relaxed) {
                here.send_to(b"?", (victim.ip.unwrap(), 4000)).unwrap();
                probes += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            probes
        });
        let killer = scope.spawn(|| {
            let _over = Raise(&over);
            for _ in 0..100 {
                node.kill_agent().unwrap();
                node.start_agent(Path::new(AGENT)).unwrap();
                std::thread::sleep(Duration::from_millis(fastrand::u64(..30)));
            }
        });
        let mut round = 0;
        while !over.load(Ordering::Relaxed) {
            // What fails is tried again by the node's own loop, as by kubelet.
            let name = format!("pod-{}", round % 5);
            let spec = PodSpec::new(&name).label("app", ["friend", "stranger"][round % 2]);
            let _ = node.run_pod(spec);
            let _ = node.remove_pod("default", &format!("pod-{}", (round + 2) % 5));
            node.sync().unwrap();
            round += 1;
        }
        killer.join().unwrap();
        (prober.join().unwrap(), round)
    });
    assert!(probes > 1000 && killed > 20, "{probes} probes, {killed} rounds");
    assert!(there.recv(&mut [0; 8]).is_err(), "a denied datagram got through");
    node.sync().unwrap();
    let after = maps(&node);
    assert_eq!(after, maps_of_a_fresh_start(&node));
    let friend = run(&node, "friend", "friend");
    friend.ping(&node, victim.ip.unwrap()).unwrap();
}

/// How many pods, by default: `CHURN=10000 scripts/test --test storm` for a real storm.
const CHURN: usize = 1000;

#[test]
fn pods_that_come_and_go_by_the_thousand_leave_nothing() {
    let pods = std::env::var("CHURN").map_or(CHURN, |count| count.parse().unwrap());
    let node = ready_node();
    node.apply(FRIENDS_ONLY).unwrap();
    let churn = |count: usize| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let node = &node;
                scope.spawn(move || {
                    for round in 0..count / 4 {
                        let name = format!("pod-{thread}-{round}");
                        let app = ["victim", "friend", "stranger", "other"][round % 4];
                        run(node, &name, app);
                        node.remove_pod("default", &name).unwrap();
                        if thread == 0 && round % 10 == 0 {
                            match round % 20 {
                                0 => drop(node.apply(FRIENDS_ONLY).unwrap()),
                                _ => drop(node.delete_object(
                                    Kind::NetworkPolicy,
                                    "default",
                                    "friends-only",
                                )),
                            }
                        }
                    }
                });
            }
        });
    };
    let agent = || {
        let pid = node.agent_pid().unwrap();
        // A request that is about to be closed is one more: the least of some looks is what stays.
        let look = |_| {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
        };
        let files = (0..20).map(look).min().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        (files, resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
    };
    churn(100); // what is allocated once is
    let (files, memory) = agent();
    let links = || node.sh("ls /proc/sys/net/ipv4/conf | sort").unwrap();
    let before = (links(), maps(&node));
    churn(pods);
    assert_eq!((links(), maps(&node)), before);
    plugin::assert_no_pod_left(&node);
    let endpoints = node.sh("ls /run/ebpfcni/.agent/endpoints").unwrap();
    assert_eq!(endpoints, "");
    let (files_after, memory_after) = agent();
    assert_eq!(files_after, files);
    assert!(memory_after < memory + 4096, "{memory} kB became {memory_after}");
    println!("{pods} pods: {files} files, {memory} kB became {memory_after}");
}
