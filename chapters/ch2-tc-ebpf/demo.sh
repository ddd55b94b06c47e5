# The talk's second chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016  # commands are shown before they are expanded

title 'Chapter 2: a TC eBPF program on every pod'

say 'A node with chapter 2, and two pods.'
run 'lab up ch2'
run 'lab pod run my-pod && lab pod run my-pod-2'
run 'lab pods'
expect 'my-pod +1/1 +Running' 'my-pod-2 +1/1 +Running'
a=$(ip_of my-pod) b=$(ip_of my-pod-2)
veth=$(lab node-exec -- sh -c "ip -o link show type veth | grep -w 'default/my-pod' | head -n1" | sed 's/^[0-9]*: \([^@]*\)@.*/\1/')

say 'The program is attached to the host end of my-pod: at ingress, where the pod sends.'
run "lab node-exec -- tc filter show dev $veth ingress"
expect 'simple_tc_parse.* direct-action .* jited'
run 'lab node-exec -- bpftool net'
expect "$veth.*clsact/ingress simple_tc_parse"

say 'Both pods run one program, which a pin keeps in the kernel.'
run 'lab node-exec -- bpftool prog show pinned /sys/fs/bpf/ebpfcni'
expect 'sched_cls' 'xlated [0-9]+B +jited [0-9]+B'

say 'What the verifier let through: no line reads past data_end.'
run 'lab node-exec -- bpftool prog dump xlated pinned /sys/fs/bpf/ebpfcni'
expect 'call bpf_trace_printk' 'exit'

say 'bpf_printk goes to the trace. An instance of our own, since the common trace_pipe is one for the whole machine.'
tracing=/sys/kernel/tracing instance=/sys/kernel/tracing/instances/demo-ch2
as_root sh -c "mountpoint -q $tracing || mount -t tracefs tracefs $tracing; mkdir -p $instance; echo 1 >$instance/events/bpf_trace/bpf_trace_printk/enable"
trap 'lab down >/dev/null; as_root rmdir $instance' EXIT
run "lab exec my-pod -- ping -c1 -W10 $b"
expect ' 0% packet loss'
hex() {
  IFS=. read -ra octets <<<"$1"
  printf '0x%x%02x%02x%02x' "${octets[@]}"
}
run "as_root grep -a 'Got a packet' $instance/trace"
say "$(hex "$a") is $a, my-pod; $(hex "$b") is $b, my-pod-2: the request and the reply, each seen as its sender's."
expect "from $(hex "$a") to $(hex "$b")" "from $(hex "$b") to $(hex "$a")"

say 'The same with bpftool, from the common trace_pipe. It would wait for ever; one second is enough.'
run "lab exec my-pod -- ping -c1 -W10 $b >/dev/null; { as_root timeout 1 bpftool prog tracelog || true; } | tail -n 2"
expect 'TC: Got a packet'

say 'A filter is a part of its link: with the pod it goes.'
run 'lab pod rm my-pod my-pod-2'
run 'lab node-exec -- bpftool net'
expect_not simple_tc
