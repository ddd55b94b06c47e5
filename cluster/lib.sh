# The cluster's node: started, found, entered, ended. Sourced.
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2034  # expanded on the node; used by whoever sources this

CLUSTER=${CARGO_TARGET_DIR:-$ROOT/target}/cluster
# What the node writes; gone when it ends. PROGRAMS and IMAGES stay, they cost minutes.
NODE=$CLUSTER/node
# Each clone of the workshop may have a node.
CGROUP_ROOT=/ebpfcni-$(cksum <<<"$NODE" | cut -d' ' -f1)
NODE_IP=10.200.0.2
# node/init has been here: a node of the workshop, not somebody's.
INITIALISED=/etc/kubernetes/.ebpfcni

# Sets NODE_PID; fails if there is no node.
find_node() {
  NODE_PID=$(cat "$NODE.pid" 2>/dev/null) && [ "$NODE_PID" ] &&
    as_root grep -qsx "$CGROUP_ROOT" "/proc/$NODE_PID/root/run/ebpfcni-cluster"
}

# on_node COMMAND…: runs it on the node as root, in the repository.
on_node() {
  as_root nsenter --target "$NODE_PID" --mount --net --uts --ipc --pid -- env \
    KUBECONFIG=/etc/kubernetes/admin.conf KUBECACHEDIR=/run/kubectl \
    sh -c 'cd "$0" && exec "$@"' "$ROOT" "$@"
}

# on_kubernetes COMMAND…: as root on the Kubernetes node: this machine if it is one (the VM), else
# the cluster's.
on_kubernetes() {
  if [ -e "$INITIALISED" ]; then as_root "$@"; else on_node "$@"; fi
}
need_kubernetes() {
  [ -e "$INITIALISED" ] || find_node ||
    die "there is no Kubernetes node: make one by scripts/cluster up, or run this in the VM"
}

# The subtree is below every hierarchy of cgroups v1, or below the one of v2.
cgroup_roots() { findmnt -rno TARGET -t cgroup,cgroup2 | sed "s|$|$CGROUP_ROOT|"; }

start_node() {
  # v2: children get what their parent enables. That stays: by the end others may count on it.
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    sed -E 's/(^| )/\1+/g' /sys/fs/cgroup/cgroup.controllers | as_root tee /sys/fs/cgroup/cgroup.subtree_control >/dev/null
  fi
  cgroup_roots | as_root xargs mkdir -p
  as_root mkdir -p "$NODE"
  as_root setsid unshare --mount --net --uts --ipc --pid --fork \
    cluster/node.sh "$NODE" "$PROGRAMS" "$CGROUP_ROOT" </dev/null >"$CLUSTER/node.log" 2>&1 9>&- &
  local starter=$!
  until find_node; do
    [ -e "/proc/$starter" ] || die "the node did not start: see $CLUSTER/node.log"
    sleep 0.1
  done
}

# Ends the node, also a half-made one, and removes what it has left. Nothing there is no error.
end_node() {
  # Its first process takes all others along, and with them go the namespaces and mounts.
  while NODE_PID=$(as_root pgrep -fx "bash cluster/node.sh $NODE .*" | head -n1) && [ "$NODE_PID" ]; do
    as_root kill -9 "$NODE_PID" || true
    sleep 0.1
  done
  local directory
  for directory in $(cgroup_roots); do
    until [ ! -e "$directory" ]; do
      as_root find "$directory" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
  done
  as_root rm -rf "$NODE" "$NODE.pid" "$NODE.log"
}
