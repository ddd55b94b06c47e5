#!/bin/sh
# What is outside of a lab's node, to be run on it: a partner and a guest, whose addresses a policy
# names, and a machine with a service; and, as kube-proxy would write them, two Services.
# Usage: sh outside.sh ADDRESS_OF_COREDNS
set -eu
# host NAME ADDRESS
host() {
  ip netns add "$1"
  ip link add "$1" type veth peer name eth0 netns "$1"
  ip addr add 169.254.0.1 peer "$2" dev "$1"
  ip link set "$1" up
  ip -n "$1" addr add "$2" peer 169.254.0.1 dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via 169.254.0.1
}
host partner 172.17.0.5
host guest 172.17.1.5
host billing 10.0.0.5
nft -f - <<END
table ip services {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr 10.96.0.10 udp dport 53 dnat to $1:53
    ip daddr 10.96.0.10 tcp dport 53 dnat to $1:53
    ip daddr 10.96.0.20 tcp dport 80 dnat to 10.0.0.5:5978
  }
}
END
