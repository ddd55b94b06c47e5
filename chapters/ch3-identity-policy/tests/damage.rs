//! Maps, pins and settings that somebody has damaged are found and repaired.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
#[path = "scene/protected.rs"]
mod protected;
mod scene;

use std::path::Path;
use std::time::Duration;

use chapter::{entries, maps};
use plugin::AGENT;
use protected::Protected;
use scene::{FRIENDS_ONLY, OUTSIDE, ask, eventually, reaches, run, within};
use serde_json::Value;

#[test]
fn pods_of_before_get_programs_with_the_new_maps_when_the_old_maps_are_lost() {
    for damage in [
        "umount /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf",
        "rm -r /sys/fs/bpf/tc/globals",
        "rm /sys/fs/bpf/tc/globals/policy_map",
        "rm /sys/fs/bpf/tc/globals/epoch_map",
    ] {
        let s = Protected::new();
        s.node.stop_agent().unwrap();
        s.node.sh(damage).unwrap();
        // Nobody can read the counters now: five pings would not get lost all.
        let victim = s.pods[0].ip.unwrap().to_string();
        let pings = s.outside.run(&s.node, &["ping", "-c5", "-i0.2", "-W2", &victim]);
        assert!(pings.is_err(), "the last policy holds: {damage}");
        s.node.start_agent(Path::new(AGENT)).unwrap();
        s.expect_protected();
        let new = run(&s.node, "new");
        assert!(reaches(&s.node, &s.pods[1], &new) && reaches(&s.node, &new, &s.pods[1]));
        assert!(!reaches(&s.node, &new, &s.pods[0]), "{damage}");
        s.restart_agent();
        s.expect_protected();
    }
}

#[test]
fn forwarding_that_somebody_turned_off_is_turned_on_again() {
    let s = Protected::new();
    s.node.sh("sysctl -qw net.ipv4.ip_forward=0").unwrap();
    let friend = &s.pods[1];
    within(Duration::from_secs(30), "the outside is there again", || {
        friend.run(&s.node, &["ping", "-c1", "-W1", &OUTSIDE.to_string()]).is_ok()
    });
}

/// All of it is written and nothing of it counts: there an agent may die.
#[test]
fn a_change_that_an_agent_died_of_before_it_counted_is_made_by_the_next() {
    let s = Protected::new();
    let endpoints = ask(&s.node, "endpoint list -o json");
    let is_stranger = |endpoint: &&Value| endpoint["pod"]["name"] == "stranger";
    let stranger = endpoints.as_array().unwrap().iter().find(is_stranger).unwrap();
    let stranger = u32::try_from(stranger["identity"].as_u64().unwrap()).unwrap();
    s.node.stop_agent().unwrap();
    s.node.delete_object(lab::Kind::NetworkPolicy, "default", "friends-only").unwrap();
    s.node.apply(&FRIENDS_ONLY.replace("app: friend", "app: stranger")).unwrap();
    let friends = s
        .node
        .enter(|| {
            let next = maps::epoch().unwrap() + 1;
            let mut map = maps::policy_map().unwrap();
            let pairs: Vec<_> = map.iter().map(Result::unwrap).collect();
            let (friend, entry) = *pairs.iter().find(|(key, _)| key.src_id != 0).unwrap();
            map.insert(friend, entries::ending(entry, next), maps::IN_PLACE).unwrap();
            let stranger = maps::PolicyKey { src_id: stranger, ..friend };
            map.insert(stranger, entries::beginning(next), 0).unwrap();
            friend
        })
        .unwrap();
    s.node.start_agent(Path::new(AGENT)).unwrap();
    let [victim, friend, stranger] = &s.pods;
    let as_the_policy_says =
        || reaches(&s.node, stranger, victim) && !reaches(&s.node, friend, victim);
    assert!(as_the_policy_says());
    // Also when what has ended is removed.
    let pairs = || maps::policy_map().unwrap().keys().map(Result::unwrap).collect::<Vec<_>>();
    eventually("it is swept", || s.node.enter(|| !pairs().contains(&friends)).unwrap());
    assert!(as_the_policy_says());
}

#[test]
fn a_second_agent_does_not_write_beside_the_first() {
    let s = Protected::new();
    let second = format!("timeout 40 {} run --manifests /run/lab/manifests --node x", lab::AGENT);
    let error = format!("{:#}", s.node.sh(&second).unwrap_err());
    assert!(error.contains("another ebpf-agent runs on this node"), "{error}");
    s.expect_protected();
}
