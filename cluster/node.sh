#!/usr/bin/env bash
# The node's first process, in namespaces of its own. Everything that kubeadm, kubelet and
# containerd write is mounted over here; it all ends with this process.
# Usage: node.sh STATE PROGRAMS CGROUP_ROOT
set -euo pipefail
state=$1 programs=$2 cgroup_root=$3
cd "$(dirname "$0")/.."

# Our number outside; it is still the outside's /proc.
read -r pid _ </proc/self/stat
echo "$pid" >"$state.pid"
mount -t proc proc /proc

# What they write, they write into $state.
for directory in etc opt usr; do
  mkdir -p "$state/$directory" "$state/$directory.work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=$state/$directory,workdir=$state/$directory.work" overlay "/$directory"
done
for directory in var/lib var/log; do
  mkdir -p "$state/$directory"
  mount --bind "$state/$directory" "/$directory"
done
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mount --make-rshared / # as on every node: mounts propagate from the node to its pods

# kubelet sets these for the whole machine: it shall set copies.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  install -D -m 644 "/proc/sys/$setting" "/run/sysctl/$setting"
  mount --bind "/run/sysctl/$setting" "/proc/sys/$setting"
done

# A network without a way out: nothing listens at the other end of eth0, nor at the resolver's
# address, but Kubernetes wants an interface with a default route, and CoreDNS a resolver.
hostname node1
ip link set lo up
ip link add eth0 type veth peer name outside
ip addr add 10.200.0.2/24 dev eth0
ip link set eth0 up
ip link set outside up
ip route add default via 10.200.0.1
rm -f /etc/resolv.conf
echo nameserver 10.200.0.1 >/etc/resolv.conf
printf '%s\n' '127.0.0.1 localhost' '10.200.0.2 node1' >/etc/hosts

for name in kubeadm kubelet kubectl; do
  ln -sf "$programs/kubernetes" "/usr/local/bin/$name"
done
node/prepare cluster

# keep NAME COMMAND…: starts it again whenever it ends, as a service manager does.
keep() {
  while :; do
    "${@:2}" >>"/var/log/$1.log" 2>&1 || true
    sleep 1
  done &
}
kubelet() {
  until [ -e /var/lib/kubelet/config.yaml ]; do sleep 0.2; done
  # shellcheck disable=SC1091  # kubeadm writes it
  . /var/lib/kubelet/kubeadm-flags.env
  # shellcheck disable=SC2086  # several flags in one variable
  command kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
    --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
}
keep containerd containerd
keep kubelet kubelet
until ctr version >/dev/null 2>&1; do sleep 0.1; done
echo "$cgroup_root" >/run/ebpfcni-cluster # who finds this file knows the node is there
wait
