# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

drops() { lab ebpf-agent metrics | grep drop_packets; }
# What the monitor says first of such a drop, while a goes on pinging b with options.
heard() {
  lab exec a -- timeout 30 ping -i0.3 -R "$b" >/dev/null 2>&1 &
  lab node-exec -- sh -c 'timeout 30 /run/lab/bin/ebpf-agent monitor --type drop --from a | grep -m1 "IP options"'
}

configure
pod a
pod b
b=$(ip_of b)
expect 'a reaches b' reaches a "$b"
# -R asks each router to write its address into the IPv4 header: an option.
expect_not 'with IP options it does not' ping_from a "$b" -R
expect_not 'nor does it reach the node' ping_from a 10.13.0.1 -R
expect_not 'nor the node a' lab node-exec -- ping -c1 -W2 -R "$(ip_of a)"
expect 'such drops have a counter of their own' shows '\{reason="IP options"\} [1-9]' drops
expect 'and no other one is moved' shows '\{reason="invalid header"\} 0$' drops
expect 'nor is "event lost"' shows '\{reason="event lost"\} 0$' drops
expect 'the monitor tells of them' shows 'default/a → default/b ICMP from-pod: IP options' heard
expect 'without options, a reaches b' reaches a "$b"
