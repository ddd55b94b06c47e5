# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

ifindex() { lab node-exec -- sh -c "ip -o link show type veth | grep default/$1" | cut -d: -f1; }
counters() { lab node-exec -- bpftool map dump pinned /sys/fs/bpf/pod_counters | tr -d ' \n'; }
# is POD PACKETS BYTES
counted() { shows "\"key\":$(ifindex "$1"),\"value\":\{\"packets\":$2,\"bytes\":$3\}" counters; }

configure
pod a
pod b
# A ping has 98 bytes: 14 of Ethernet, 20 of IPv4, 8 of ICMP, 56 that mean nothing.
expect 'a pings b three times' lab exec a -- ping -c3 -i0.05 -W20 "$(ip_of b)"
expect 'a has sent 3 packets of 98 bytes' counted a 3 294
expect 'b has answered them' counted b 3 294
expect 'a pings the node, with more' ping_from a 10.13.0.1 -W20 -s 1000
expect 'that is 4 packets of a' counted a 4 1336
expect 'and none of b' counted b 3 294
pod c
expect 'a third pod has its own' ping_from c 10.13.0.1 -W20
expect 'namely one' counted c 1 98
