//! What several tests set up and ask: a policy, pods, a network outside of the node.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::chapter::{
    entries,
    maps::{self, event::Reason},
};
use aya::maps::{Map, PerCpuArray};
use lab::{Node, Pod, PodSpec, Sandbox};
use serde_json::Value;

/// Isolates the victim; lets in friends.
pub const FRIENDS_ONLY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: friends-only }
spec:
  podSelector: { matchLabels: { app: victim } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }]
";

/// Somebody outside.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The MAC of the node's uplink.
pub const UPLINK: [u8; 6] = [2, 0, 0, 0, 0, 8];

/// A network of its own behind the node's uplink 192.0.2.1. The node routes whatever comes from
/// there, under whatever address.
pub fn outside(node: &Node) -> Sandbox {
    let outside = node.sandbox().unwrap();
    let peer = outside.netns().rsplit('/').next().unwrap();
    node.sh(&format!(
        "ip link add uplink address 02:00:00:00:00:08 type veth peer name eth0 netns {peer}
         ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up
         ip -n {peer} addr add 192.0.2.2/24 dev eth0 && ip -n {peer} link set eth0 up
         ip -n {peer} route add 10.13.0.0/24 via 192.0.2.1
         echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
         echo 0 >/proc/sys/net/ipv4/conf/uplink/rp_filter
         until ip link show uplink | grep -q 'state UP'; do sleep 0.01; done"
    ))
    .unwrap();
    outside
}

/// Runs a pod that has its name as `app`.
pub fn run(node: &Node, app: &str) -> Pod {
    node.run_pod(PodSpec::new(app).label("app", app)).unwrap()
}

/// Does a pod's ping get an answer from another one?
#[track_caller]
pub fn reaches(node: &Node, from: &Pod, to: &Pod) -> bool {
    let address = to.ip.unwrap().to_string();
    is_answered(node, || from.run(node, &["ping", "-c1", "-W1", &address]).is_ok())
}

/// Is a question answered? It is not if a policy has dropped something meanwhile; silence says
/// nothing on a busy machine, it is asked again.
#[track_caller]
pub fn is_answered(node: &Node, ask: impl Fn() -> bool) -> bool {
    let mut is_answered = false;
    within(Duration::from_secs(60), "a policy drops it, or it is answered", || {
        let before = denied(node);
        is_answered = ask();
        is_answered || denied(node) > before
    });
    is_answered
}

/// How many packets policies have dropped so far.
fn denied(node: &Node) -> u64 {
    let reasons = [Reason::DropPolicy, Reason::DropEgress, Reason::DropAnswer];
    let count = || {
        let map = Map::PerCpuArray(maps::open("metrics_map").unwrap());
        let map = PerCpuArray::<_, [u64; 2]>::try_from(map).unwrap();
        let counters = reasons.map(|reason| map.get(&(reason as u32), 0).unwrap().to_vec());
        counters.into_iter().flatten().map(|[packets, _]| packets).sum()
    };
    node.enter(count).unwrap()
}

/// Asks the agent's command line; JSON. `status` fails where the kernel does not do what is wanted,
/// and answers all the same.
pub fn ask(node: &Node, question: &str) -> Value {
    let answer = node.sh(&format!("{} {question} || true", lab::AGENT)).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{question}: {error}: {answer}"))
}

/// Both maps without their counters.
pub fn maps(node: &Node) -> (Value, BTreeSet<(u64, u64)>) {
    let policy = ask(node, "bpf policy get -o json");
    let pairs = policy.as_array().unwrap().iter().map(|row| entries::pair(row).unwrap());
    (ask(node, "bpf endpoint list -o json"), pairs.collect())
}

/// Waits until something is so; on a busy machine that may take its time.
#[track_caller]
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, is_so);
}

/// Waits until something is so, for no longer than that.
#[track_caller]
pub fn within(patience: Duration, what: &str, is_so: impl FnMut() -> bool) {
    assert!(lab::wait_until(patience, is_so), "in {patience:?} not so: {what}");
}
