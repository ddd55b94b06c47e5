//! What several tests set up: a policy, and a network outside of the node.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::Ipv4Addr;

use lab::{Node, Sandbox};

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
