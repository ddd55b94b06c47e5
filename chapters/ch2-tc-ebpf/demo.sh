# The talk's second chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016,SC2154  # commands are shown before they are expanded

title 'Chapter 2: a TC eBPF program on every pod' '第二章：每個 Pod 都掛上一支 TC eBPF 程式'

say 'A node with chapter 2, and two pods.' '在節點裝上第二章，再跑兩個 Pod。'
run 'lab up ch2' 'lab pod run my-pod' 'lab pod run my-pod-2' 'lab pods'
expect 'my-pod +1/1 +Running' 'my-pod-2 +1/1 +Running'
a=$(ip_of my-pod) b=$(ip_of my-pod-2) veth=$(veth_of my-pod)

say 'The program is attached to the host end of my-pod: at ingress, where the pod sends.' \
  '程式掛在 my-pod 那條 veth 的 host 端，方向是 ingress：Pod 送出的封包從這裡進來。'
run "lab node-exec -- tc filter show dev $veth ingress"
expect 'simple_tc_parse.* direct-action .* jited'
run 'lab node-exec -- bpftool net'
expect "$veth.*clsact/ingress simple_tc_parse"

if course; then
  say 'Both pods run one program, which a pin keeps in the kernel.' \
    '兩個 Pod 用的是同一支程式，靠一個 pin 留在核心裡。'
  run 'lab node-exec -- bpftool prog show pinned /sys/fs/bpf/ebpfcni'
  expect 'sched_cls' 'xlated [0-9]+B +jited [0-9]+B'

  say 'What the verifier let through: no line reads past data_end.' \
    'verifier 放行的程式碼：沒有一行會讀到 data_end 之後。'
  run 'lab node-exec -- bpftool prog dump xlated pinned /sys/fs/bpf/ebpfcni'
  expect 'call bpf_trace_printk' 'exit'
fi

say 'bpf_printk goes to the trace. The machine has one trace_pipe: we make an instance of our own.' \
  'bpf_printk 寫進 trace。整台機器只有一條 trace_pipe，所以另外開一個 instance。'
trap '[ -z "${trace-}" ] || lab node-exec -- rmdir "$trace" || true; end' EXIT
run 'trace=/mnt/instances/demo-$$' 'lab node-exec -- mount -t tracefs tracefs /mnt' \
  'lab node-exec -- sh -c "mkdir $trace; echo 1 >$trace/events/bpf_trace/enable"'
run "lab exec my-pod -- ping -c1 -W10 $b"
expect ' 0% packet loss'
hex() {
  IFS=. read -ra octets <<<"$1"
  printf '0x%x%02x%02x%02x' "${octets[@]}"
}
run "lab node-exec -- grep 'Got a packet' \$trace/trace | tr -s ' '"
expect "from $(hex "$a") to $(hex "$b")" "from $(hex "$b") to $(hex "$a")"
say "Request and reply, each as its sender sends it: $(hex "$a") is $a, $(hex "$b") is $b." \
  "一去一回，各在送出的那一端看到一次。$(hex "$a") 是 $a，$(hex "$b") 是 $b。"

if course; then
  say 'The same with bpftool, from the common trace_pipe. It would wait for ever; one second is enough.' \
    '換成 bpftool，從大家共用的 trace_pipe 讀。它會一直等下去，這裡只看一秒。'
  run "lab exec my-pod -- ping -c1 -W10 $b >/dev/null" \
    'lab node-exec -- timeout 1 bpftool prog tracelog | tail -n 2'
  expect 'TC: Got a packet'

  say 'A filter is a part of its link: with the pod it goes.' \
    'filter 是介面的一部分：Pod 刪掉，filter 也跟著消失。'
  run 'lab pod rm my-pod my-pod-2'
  run 'lab node-exec -- bpftool net'
  expect_not simple_tc
fi
