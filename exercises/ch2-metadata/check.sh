# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

configure
pod a
pod b
# The fake node plays the cloud: the service's address is its own.
lab node-exec -- ip addr add 169.254.169.254/32 dev lo
lab node-exec -- ip addr add 169.254.169.253/32 dev lo
expect 'a reaches the node' reaches a 10.13.0.1
expect 'a reaches b' reaches a "$(ip_of b)"
expect 'a reaches the address beside it' reaches a 169.254.169.253
expect_not 'a does not reach 169.254.169.254' ping_from a 169.254.169.254
veth=$(lab node-exec -- sh -c 'ip -o link show type veth | grep default/a' | sed 's/^[0-9]*: \([^@]*\)@.*/\1/')
expect "TC counts a drop on a's veth" shows 'dropped [1-9]' lab node-exec -- tc -s qdisc show dev "$veth" clsact
expect 'the node itself still does' lab node-exec -- ping -c1 -w20 169.254.169.254
