//! Sets of ports and of blocks for which the maps have no room.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod set_sizes;

use lab::wait_until;
use probe::{Cluster, DEADLINE};
use set_sizes::{blocks, by_ports, every_other, expect, only, wait_for_sets};

/// How many entries `port_map` and `block_map` have room for.
const ROOM: u16 = 16_384;

#[track_caller]
fn wait_for_problem(cluster: &Cluster, problem: &str) {
    let is_told = || cluster.problems().iter().any(|it| it.contains(problem));
    assert!(wait_until(DEADLINE, is_told), "{problem:?} is not told");
}

#[track_caller]
fn wait_for_no_problem(cluster: &Cluster) {
    let is_well = || cluster.problems().iter().all(|it| it.contains("fence/fence"));
    assert!(wait_until(DEADLINE, is_well), "{:?}", cluster.problems());
}

#[test]
fn a_full_port_map_denies_says_so_and_recovers() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c", "x/d"]);
    cluster.policy("x/a", &by_ports("a", &every_other(81, 10_000)));
    expect(&cluster, "x/d", "x/a", [false, true]);
    cluster.policy("x/b", &by_ports("b", &every_other(80, 10_000)));
    wait_for_problem(&cluster, "cannot write port_map: it is full; what is left out is denied");
    expect(&cluster, "x/d", "x/b", [false, false]);
    expect(&cluster, "x/d", "x/a", [false, true]);
    // What fits comes in though.
    cluster.policy("x/c", &by_ports("c", "[{ port: 80 }]"));
    expect(&cluster, "x/d", "x/c", [true, false]);
    cluster.delete_policy("x/a");
    wait_for_no_problem(&cluster);
    expect(&cluster, "x/d", "x/b", [true, false]);
    expect(&cluster, "x/d", "x/a", [true, true]);
    wait_for_sets(&cluster, &[1, 10_000], &[]);
}

/// Also what was allowed more ends, or less, if it cannot be said what is allowed now.
#[test]
fn a_pair_whose_new_set_does_not_fit_is_denied_what_the_old_one_allowed() {
    let cluster = Cluster::new(&["x/a", "x/b"]);
    cluster.policy("x/a", &by_ports("a", "[{ port: 81 }]"));
    expect(&cluster, "x/b", "x/a", [false, true]);
    cluster.policy("x/a", &by_ports("a", &every_other(80, ROOM + 1)));
    wait_for_problem(&cluster, "port_map");
    expect(&cluster, "x/b", "x/a", [false, false]);
    cluster.policy("x/a", &by_ports("a", &every_other(80, ROOM)));
    wait_for_no_problem(&cluster);
    expect(&cluster, "x/b", "x/a", [true, false]);
}

#[test]
fn a_full_block_map_denies_says_so_and_recovers() {
    let cluster = Cluster::new(&["x/a", "x/b", "x/c", "x/d"]);
    let d = cluster.ip("x/d").to_string();
    let from = |pod: &str, count| {
        let ports = format!("[{{ port: {} }}]", 80 + count % 2);
        only(pod, &format!("{{ from: {}, ports: {ports} }}", blocks(count, &d)))
    };
    cluster.policy("x/a", &from("a", 10_001));
    expect(&cluster, "x/d", "x/a", [false, true]);
    cluster.policy("x/b", &from("b", 10_000));
    wait_for_problem(&cluster, "cannot write block_map: it is full; what is left out is denied");
    expect(&cluster, "x/d", "x/b", [false, false]);
    expect(&cluster, "x/d", "x/a", [false, true]);
    cluster.policy("x/c", &from("c", 10));
    expect(&cluster, "x/d", "x/c", [true, false]);
    cluster.delete_policy("x/a");
    wait_for_no_problem(&cluster);
    expect(&cluster, "x/d", "x/b", [true, false]);
    wait_for_sets(&cluster, &[1], &[11, 10_001]);
}
