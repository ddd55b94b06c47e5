# What the program prints, on a real Kubernetes node. Ends with this chapter.

load ../../../node/test

setup_file() { go_back; }

# An address as the program prints it.
hex() {
  IFS=. read -ra bytes <<<"$1"
  printf '0x%x%02x%02x%02x' "${bytes[@]}"
}

# A tracefs instance of our own: whoever reads the machine's one trace_pipe takes the lines
# away from all others.
start_trace() {
  [ -d /sys/kernel/tracing/instances ] || mount -t tracefs tracefs /sys/kernel/tracing
  TRACE=$(mktemp -d -p /sys/kernel/tracing/instances ebpfcni.XXXXXX)
  echo 1 >"$TRACE/events/bpf_trace/bpf_trace_printk/enable"
}
teardown() { [ -z "${TRACE-}" ] || rmdir "$TRACE"; }

@test "a ping between two pods is a line for the request and one for the reply" {
  installed
  running my-pod my-pod-2
  a=$(ip_of my-pod) b=$(ip_of my-pod-2)
  start_trace
  eventually in_pod my-pod ping -c1 -W5 "$b"
  eventually grep "TC: Got a packet from $(hex "$a") to $(hex "$b")" "$TRACE/trace"
  eventually grep "TC: Got a packet from $(hex "$b") to $(hex "$a")" "$TRACE/trace"
}
