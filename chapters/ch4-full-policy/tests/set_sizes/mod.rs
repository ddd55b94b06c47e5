//! Policies of many ports and blocks, and how many entries their sets have in the maps.

use std::collections::BTreeSet;

use lab::wait_until;
use serde_json::json;

use crate::chapter::maps;
use crate::probe::expect::Attempt;
use crate::probe::socket::Protocol::Tcp;
use crate::probe::{Cluster, DEADLINE};

/// So many ports, of which no two are one prefix: the even or the odd ones.
pub fn every_other(first: u16, count: u16) -> String {
    let ports: Vec<_> = (0..count).map(|it| json!({ "port": first + 2 * it })).collect();
    json!(ports).to_string()
}

/// So many addresses, of which no two are one prefix, but another one.
pub fn blocks(count: u32, last: &str) -> String {
    let address = |it: u32| std::net::Ipv4Addr::from(0x6400_0000 + 2 * it);
    let block = |cidr: String| json!({ "ipBlock": { "cidr": cidr } });
    let mut peers: Vec<_> = (0..count).map(|it| block(format!("{}/32", address(it)))).collect();
    peers.push(block(format!("{last}/32")));
    json!(peers).to_string()
}

/// What isolates a pod, and this rule.
pub fn only(pod: &str, rule: &str) -> String {
    format!("{{ podSelector: {{ matchLabels: {{ pod: {pod} }} }}, ingress: [{rule}] }}")
}

/// The same by these ports.
pub fn by_ports(pod: &str, ports: &str) -> String {
    only(pod, &format!("{{ ports: {ports} }}"))
}

/// Asserts by which of the ports 80 and 81 a pod is reached.
#[track_caller]
pub fn expect(cluster: &Cluster, from: &str, to: &str, allowed: [bool; 2]) {
    let attempts = [80, 81].map(|port| Attempt::new(from, to, Tcp, port));
    cluster.verify(&attempts.into_iter().zip(allowed).collect());
}

/// The sets in `port_map` and in `block_map`, with how many entries they have.
pub fn sets(cluster: &Cluster) -> [Vec<(u32, usize)>; 2] {
    let count = |sets: Vec<u32>| {
        let numbers: BTreeSet<_> = sets.iter().copied().collect();
        let count = |set: &u32| sets.iter().filter(|it| *it == set).count();
        numbers.iter().map(|set| (*set, count(set))).collect()
    };
    let read = || {
        let ports = maps::port_map().unwrap().keys().map(|it| it.unwrap().data().set).collect();
        let blocks = maps::block_map().unwrap().keys().map(|it| it.unwrap().data().set).collect();
        [count(ports), count(blocks)]
    };
    cluster.node.enter(read).unwrap()
}

/// Waits until the maps have sets of these sizes and no others.
#[track_caller]
pub fn wait_for_sets(cluster: &Cluster, ports: &[usize], blocks: &[usize]) {
    let sizes = || {
        sets(cluster).map(|sets| {
            let mut sizes: Vec<_> = sets.into_iter().map(|it| it.1).collect();
            sizes.sort_unstable();
            sizes
        })
    };
    let is_so = || sizes() == [ports, blocks];
    assert!(wait_until(DEADLINE, is_so), "{:?}", sizes());
}
