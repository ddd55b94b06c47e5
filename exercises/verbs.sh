# What a check.sh says. Sourced by scripts/exercise, which has made a node with the chapter's plugin
# (and agent), and without a configuration: `lab` speaks of it.
# shellcheck shell=bash disable=SC2154  # `name` comes from there

# configure [KEYS]: the chapter's configuration with more keys. From now on the node is Ready.
configure() {
  local conf='{ "cniVersion": "1.0.0", "name": "ebpfcni", "type": "ebpfcni", "podcidr": "10.13.0.0/24"'
  # Of two equal keys the last one counts.
  lab node-exec -- tee /etc/cni/net.d/10-ebpfcni.conf <<<"$conf${1:+, $1} }" >/dev/null
}

# pod NAME [LABELS]
pod() { lab pod run "$1" ${2:+--labels "$2"} >/dev/null; }

ip_of() { lab exec "$1" -- ip -4 -o addr show eth0 | sed 's/.*inet \([0-9.]*\).*/\1/'; }

# reaches POD ADDRESS: a ping is answered; the first one may be late, on a busy machine.
reaches() { lab exec "$1" -- ping -c1 -i0.2 -w20 "$2"; }
# ping_from POD ADDRESS [OPTION…]: one packet, one answer.
ping_from() { lab exec "$1" -- ping -c1 -W2 "${@:3}" "$2"; }

# call COMMAND CONTAINER [VARIABLE=VALUE…]: the plugin by hand, for a namespace of that name.
call() {
  local netns=/var/run/netns/$2
  lab node-exec -- sh -c "[ -e $netns ] || ip netns add $2"
  lab node-exec -- env CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="$netns" CNI_IFNAME=eth0 \
    CNI_PATH=/opt/cni/bin "${@:3}" sh -c '/opt/cni/bin/ebpfcni </etc/cni/net.d/10-ebpfcni.conf'
}

# expect SENTENCE COMMAND…: the sentence is true if the command succeeds.
expect() {
  local output
  output=$("${@:2}" 2>&1) || not_yet "$1" "$output"
  echo "  yes: $1"
}

# expect_not SENTENCE COMMAND…: and this one if it fails.
expect_not() {
  local output
  if output=$("${@:2}" 2>&1); then not_yet "$1" "$output"; fi
  echo "  yes: $1"
}

# shows PATTERN COMMAND…: the command prints a line like this, whether it succeeds or not.
shows() {
  local output
  output=$("${@:2}" 2>&1 || true)
  echo "$output"
  grep -qE -- "$1" <<<"$output"
}

# soon COMMAND…: it succeeds within half a minute, also on a busy machine.
soon() {
  local output deadline=$((SECONDS + 30))
  until output=$("$@" 2>&1); do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "$output"
      return 1
    fi
    sleep 0.1
  done
  echo "$output"
}

not_yet() {
  echo "  not yet: $1"
  tail -n 15 <<<"$2" | sed 's/^/    | /'
  echo "See exercises/$name/README.md"
  exit 1
}

# start_trace: `traced` is from now on what eBPF programs print. A tracefs instance of our own: the
# machine's one trace_pipe gives a line to one reader only.
start_trace() {
  lab node-exec -- sh -ec "mkdir -p /run/tracing; mount -t tracefs tracefs /run/tracing
    mkdir /run/tracing/instances/$name-$$
    echo 1 >/run/tracing/instances/$name-$$/events/bpf_trace/bpf_trace_printk/enable"
  trace=/run/tracing/instances/$name-$$
}
traced() { lab node-exec -- cat "$trace/trace"; }
stop_trace() { [ -z "${trace-}" ] || lab node-exec -- rmdir "$trace"; }
