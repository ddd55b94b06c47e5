//! The sets of ports and of blocks in the maps: swept, damaged, left behind by an agent that died.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod set_sizes;

use std::path::Path;
use std::time::Duration;

use chapter::maps::{self, FIRST_SET, PolicyKey, block_key, port_key};
use lab::wait_until;
use plugin::AGENT;
use probe::expect::Attempt;
use probe::socket::Protocol::Tcp;
use probe::{Cluster, DEADLINE};
use set_sizes::{blocks, by_ports, every_other, expect, only, sets, wait_for_sets};

const TCP: u8 = 6;

#[test]
fn sets_that_nobody_uses_any_more_are_swept() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    let b = cluster.ip("x/b").to_string();
    let from_b = |ports: &str| only("a", &format!("{{ from: {}, ports: {ports} }}", blocks(1, &b)));
    for round in 1..20 {
        // Of ports alone, and of ports that only a block refers to.
        cluster.policy("x/a", &by_ports("a", &every_other(81, round)));
        cluster.policy("x/another", &from_b(&every_other(80, round)));
        expect(&cluster, "x/b", "x/a", [true, true]);
    }
    wait_for_sets(&cluster, &[19, 19], &[2]);
    cluster.delete_policy("x/another");
    wait_for_sets(&cluster, &[19], &[]);
    expect(&cluster, "x/b", "x/a", [false, true]);
    // Equal contents are one set.
    cluster.policy("x/b", &by_ports("b", &every_other(81, 19)));
    cluster.settle();
    wait_for_sets(&cluster, &[19], &[]);
    cluster.delete_policy("x/a");
    expect(&cluster, "x/a", "x/b", [false, true]);
    cluster.delete_policy("x/b");
    wait_for_sets(&cluster, &[], &[]);
}

#[test]
fn an_agent_that_is_killed_while_it_writes_a_set_leaves_the_old_world_or_the_new_one() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    let attempts = [80, 81].map(|port| Attempt::new("x/b", "x/a", Tcp, port));
    let b = cluster.ip("x/b").to_string();
    cluster.policy("x/a", &by_ports("a", "[{ port: 80 }]"));
    expect(&cluster, "x/b", "x/a", [true, false]);
    let mut begun = 0;
    for round in 1..=12u16 {
        // By turns 81 and 80, by turns to all and to a block.
        let ports = every_other(80 + round % 2, 5000 + round);
        let all = format!("{{ ports: {ports} }}");
        let block = format!("{{ from: {}, ports: {ports} }}", blocks(2000, &b));
        let rule = if round % 4 < 2 { all } else { block };
        let before = sets(&cluster);
        cluster.policy("x/a", &only("a", &rule));
        // The sooner it is killed the less it has written; the last ones as soon as it has begun.
        if round > 6 {
            assert!(wait_until(DEADLINE, || sets(&cluster) != before), "nothing is written");
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(..20)));
        cluster.node.kill_agent().unwrap();
        begun += u32::from(sets(&cluster) != before);
        let [one, other] = &attempts;
        let mut missing = Vec::new();
        // A slow machine denies nothing.
        wait_until(DEADLINE, || {
            missing = cluster.round(&[], &[one, other]).missing;
            missing.len() < 2
        });
        assert_eq!(missing.len(), 1, "round {round}: {missing:?}");
        cluster.node.start_agent(Path::new(AGENT)).unwrap();
        expect(&cluster, "x/b", "x/a", [round % 2 == 0, round % 2 == 1]);
    }
    assert!(begun > 3, "it is never killed while it writes");
    cluster.delete_policy("x/a");
    wait_for_sets(&cluster, &[], &[]);
}

/// The set that policies allow by: its number.
fn set_of_anybody(cluster: &Cluster) -> [u32; 2] {
    let read = || {
        let epoch = maps::epoch().unwrap();
        let entries = maps::policy_map().unwrap();
        let entries: Vec<_> = entries.iter().map(Result::unwrap).collect();
        let of_anybody = |key: &PolicyKey| key.ends().1 == 0;
        let counts = entries.iter().filter(|(key, _)| of_anybody(key));
        let policies: Vec<_> = counts.filter_map(|(_, it)| it.versions.at(epoch)).collect();
        let own = policies.iter().find(|it| it.ports >= FIRST_SET || it.blocks >= FIRST_SET);
        own.map_or([0, 0], |policy| [policy.ports, policy.blocks])
    };
    cluster.node.enter(read).unwrap()
}

/// Whatever somebody does to a set: the pair gets another one, soon.
#[test]
fn a_set_that_somebody_has_changed_is_replaced() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    let address = cluster.ip("x/b").octets();
    let rule = format!(
        "{{ ports: [{{ port: 80 }}] }}, {{ from: {}, ports: [{{ port: 82 }}] }}",
        blocks(0, &cluster.ip("x/b").to_string())
    );
    cluster.policy("x/a", &only("a", &rule));
    expect(&cluster, "x/b", "x/a", [true, false]);
    type Damage = fn([u32; 2], [u8; 4]);
    let damages: [(&str, Damage); 5] = [
        ("a port less", |[ports, _], _| {
            maps::port_map().unwrap().remove(&port_key(ports, TCP, 80, 16)).unwrap();
        }),
        ("a port more", |[ports, _], _| {
            maps::port_map().unwrap().insert(&port_key(ports, TCP, 81, 16), 1, 0).unwrap();
        }),
        ("a block less", |[_, blocks], address| {
            maps::block_map().unwrap().remove(&block_key(blocks, address, 32)).unwrap();
        }),
        ("a block more", |[_, blocks], _| {
            let all = block_key(blocks, [0; 4], 0);
            maps::block_map().unwrap().insert(&all, maps::ALL_PORTS, 0).unwrap();
        }),
        ("a block by other ports", |[_, blocks], address| {
            let its = block_key(blocks, address, 32);
            maps::block_map().unwrap().insert(&its, maps::ALL_PORTS, 0).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let before = set_of_anybody(&cluster);
        assert!(before[0] >= FIRST_SET && before[1] >= FIRST_SET, "{before:?}");
        cluster.node.enter(|| damage(before, address)).unwrap();
        let is_another = || set_of_anybody(&cluster) != before;
        assert!(wait_until(DEADLINE, is_another), "{what}: it stays");
        expect(&cluster, "x/b", "x/a", [true, false]);
        wait_for_sets(&cluster, &[1, 1], &[1]);
    }
}
