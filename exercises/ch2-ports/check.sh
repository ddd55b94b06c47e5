# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

# packet BYTE…: gives the program one IPv4 packet, in hex, behind an Ethernet header.
packet() {
  # shellcheck disable=SC2016  # the node's shell expands it
  lab node-exec -- sh -ec 'for byte; do printf "\\$(printf %o "0x$byte")"; done >/run/lab/packet
    bpftool prog run pinned /sys/fs/bpf/ebpfcni data_in /run/lab/packet' - \
    02 02 02 02 02 02 02 02 02 02 02 02 08 00 "$@"
}
# ipv4 VERSION-AND-WORDS FRAGMENT PROTOCOL: the first 20 bytes of a header.
ipv4() { echo "$1 00 00 00 00 00 $2 40 $3 00 00 64 4d 00 01 64 4d 00 02"; }
# prints SENTENCE LINE BYTE…, prints_not SENTENCE LINE BYTE…
prints() { packet "${@:3}" >/dev/null && expect "$1" soon shows "$2" traced; }
prints_not() {
  expect "$1: it passes" shows 'Return value: 0' packet "${@:3}"
  expect_not '  and has no line with ports' shows "$2" traced
}

configure
pod a
start_trace
expect 'a sends a datagram to port 60053' lab exec a -- bash -c 'echo hello >/dev/udp/10.13.0.1/60053'
expect 'there is a line for it' soon shows 'TC: from port [0-9]+ to port 60053$' traced
expect_not 'nobody listens at TCP port 60080' lab exec a -- bash -c 'echo >/dev/tcp/10.13.0.1/60080'
expect 'but who asks has a line' soon shows 'TC: from port [0-9]+ to port 60080$' traced

# Ports 61001 (ee49) and up. 11 is UDP, 06 TCP, 01 ICMP.
# shellcheck disable=SC2046  # many words
{
  prints 'UDP' 'from port 61001 to port 61002$' $(ipv4 45 '00 00' 11) ee 49 ee 4a 00 08 00 00
  prints 'TCP, behind 4 bytes of options' 'from port 61003 to port 61004$' \
    $(ipv4 46 '00 00' 06) 01 01 01 00 ee 4b ee 4c 00 00 00 00
  prints_not 'ICMP' 61005 $(ipv4 45 '00 00' 01) ee 4d ee 4e 00 00 00 00
  prints_not 'a fragment that is not the first' 61007 $(ipv4 45 '00 02' 11) ee 4f ee 50 00 00 00 00
  prints_not 'UDP that ends before its ports do' 61009 $(ipv4 45 '00 00' 11) ee 51
}
