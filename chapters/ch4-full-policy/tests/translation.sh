#!/bin/busybox sh
# shellcheck shell=dash
# What all of egress rests on, on the kernel that runs this: where the bridge hands packets up to the
# node, a packet to a Service has its translated address, and from_pod's mark, and is whole. As
# r1_translation.rs, for a machine that has nothing but busybox, ip and nft: see scripts/test-kernels.
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip() { /usr/sbin/ip "$@"; } # not the shell's own
# namespace NAME OUR_LINK ADDRESS GATEWAY
namespace() {
  ip netns add "$1"
  ip link add "$2" type veth peer name eth0 netns "$1"
  ip link set "$2" up
  ip -n "$1" addr add "$3/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$4"
}
ip link add bridge0 type bridge
ip addr add 10.13.0.1/24 dev bridge0
ip link set bridge0 up
namespace pod veth0 10.13.0.2 10.13.0.1
ip link set veth0 master bridge0
namespace outside uplink 192.0.2.2 192.0.2.1
ip addr add 192.0.2.1/24 dev uplink
busybox modprobe br_netfilter 2>/dev/null || [ -e /proc/sys/net/bridge ]
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<END
table netdev marks {
  chain from_pod {
    type filter hook ingress device veth0 priority 0
    meta mark set 0x01000f00
  }
  chain to_node {
    type filter hook ingress device bridge0 priority 0
    ip daddr 192.0.2.2 ip length 4028 ip frag-off & 0x3fff == 0 meta mark 0x01000f00 counter
    ip daddr 10.13.0.1 ip length 4028 ip frag-off & 0x3fff == 0 meta mark 0x01000f00 counter
    ip daddr { 10.96.0.10, 10.96.0.11 } counter
    ip frag-off & 0x3fff != 0 counter
  }
}
table ip services {
  chain prerouting {
    type nat hook prerouting priority -100
    ip daddr 10.96.0.10 dnat to 192.0.2.2
    ip daddr 10.96.0.11 dnat to 10.13.0.1
  }
}
END
for service in 10.96.0.10 10.96.0.11; do
  ip netns exec pod busybox ping -c1 -W9 -s 4000 $service >/dev/null
done
seen=$(nft list chain netdev marks to_node | busybox grep -o 'packets [0-9]*' | busybox tr -d '\n')
[ "$seen" = "packets 1packets 1packets 0packets 0" ] && echo "translated, marked and whole" && exit
nft list chain netdev marks to_node
exit 1
