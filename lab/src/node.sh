# shellcheck shell=sh
# What a node is here: namespaces of its own, and on its mounts the directories that
# kubelet, the runtime and CNI plugins use. All of it vanishes with the last process in it.
set -e
mount --make-rprivate /          # nothing mounted here is seen outside
mount -t tmpfs run /run          # also /var/run: pods' namespaces, leases
mkdir -p /run/netns /run/lab/pods /run/lab/bin /run/lab/manifests /run/lab/etc /run/lab/work
echo "$LAB_ID" >/run/lab/id         # by this a process is known to be in this node
mount -t overlay -o lowerdir=/etc,upperdir=/run/lab/etc,workdir=/run/lab/work overlay /etc
mkdir -p /etc/cni/net.d          # configurations
mount -t tmpfs opt /opt
mkdir -p /opt/cni/bin            # plugins
mount -t bpf bpf /sys/fs/bpf     # pinned eBPF programs and maps
mount --bind /run/netns /run/netns # as the first `ip netns add` would, over what is mounted in it
mount --make-rshared /           # as on every node: copies of a mount go when it goes
ip link set lo up
echo READY
# Whoever reads the output of `lab up` to its end must not wait for the node's.
[ "$LAB_KEEP" ] && exec sleep infinity >/dev/null 2>&1
cat >/dev/null                   # a test's node ends with the test: its end of the pipe closes
# And with it who is left in the node, such as the agent: until there is nobody but us.
left=somebody
while [ "$left" ]; do
  left=
  for process in /proc/[0-9]*; do
    id=$(cat "$process/root/run/lab/id" 2>/dev/null) || continue
    [ "$id" = "$LAB_ID" ] && [ "$process" != "/proc/$$" ] || continue
    left=somebody
    kill -9 "${process#/proc/}" || true
  done
done
