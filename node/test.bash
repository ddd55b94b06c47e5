# What the tests of a real node have in common. Loaded by chapters/*/tests/node*.bats, which
# scripts/test-node runs as root on the node: it says which CHAPTER is tested, and where its plugin
# and those of the chapters before it are, PLUGIN_CH1 and so on.
# shellcheck shell=bash

# shellcheck source=SCRIPTDIR/api.sh
. "$BATS_TEST_DIRNAME/../../../node/api.sh"
export KUBECONFIG=${KUBECONFIG:-/etc/kubernetes/admin.conf}
CONFIGURATION=/etc/cni/net.d/10-ebpfcni.conf
LEASES=/run/ebpfcni/ebpfcni
NODE=$(hostname)

# eventually COMMAND…: waits until it succeeds.
eventually() {
  local deadline=$((SECONDS + PATIENCE))
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -gt $deadline ]; then
      echo "never came true: $*"
      "$@" || command kubectl get pods -A -o wide
      return 1
    fi
    sleep 0.5
  done
}

# `! COMMAND` does not end a test.
not() { ! "$@"; }

# The story's first state: no plugin, a node that is NotReady, none of our pods.
go_back() {
  # While there is a plugin: without one, containerd cannot take a pod down.
  kubectl cordon "$NODE"
  kubectl delete deployments,services,networkpolicies --selector='!component' # all but kubernetes itself
  kubectl delete pods --all --now
  kubectl delete pods --namespace=kube-system --selector=k8s-app=kube-dns --now
  eventually leases_are ''
  rm -f "$CONFIGURATION" /opt/cni/bin/ebpfcni
  node/remove-agent
  # What it pinned, and what it wrote down: there is no pod any more that needs them.
  rm -rf /sys/fs/bpf/ebpfcni-* /sys/fs/bpf/tc/globals /run/ebpfcni/.agent
  eventually node_is False
  eventually node_is_tainted # else a pod could still be scheduled here
  kubectl uncordon "$NODE"
}

# installed [CHAPTER]: this one is, or another.
installed() {
  local chapter=${1:-$CHAPTER}
  local plugin=PLUGIN_${chapter^^}
  node/install "$chapter" "${!plugin}"
  eventually node_is True
}

# run_pod POD: it serves its name on port 80.
run_pod() {
  kubectl run "$1" --image=busybox:1.35 -- sh -c 'hostname >/tmp/index.html && exec httpd -f -h /tmp'
}

# running POD…: these pods run.
running() {
  local pod
  for pod; do
    kubectl get pod "$pod" >/dev/null 2>&1 || run_pod "$pod"
  done
  kubectl wait --for=condition=Ready --timeout="${PATIENCE}s" "${@/#/pod/}"
}

# in_pod POD COMMAND…
in_pod() { kubectl exec "$1" -- "${@:2}"; }
ip_of() { kubectl get pod "$1" -o jsonpath='{.status.podIP}'; }
phase_of() { kubectl get pod "$1" -o jsonpath='{.status.phase}'; }

# node_is True|False: its Ready condition.
node_is() {
  kubectl get node "$NODE" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -qx "$1"
}

node_is_tainted() {
  kubectl get node "$NODE" -o jsonpath='{.spec.taints[*].key}' | grep -w node.kubernetes.io/not-ready
}

# Addresses of all pods with a network of their own, as the API server knows them, and as leases.
pod_addresses() {
  kubectl get pods -A --no-headers -o custom-columns=:.spec.hostNetwork,:.status.podIP | awk '$1 != "true" {print $2}' | sort
}
lease_addresses() { find "$LEASES" -name '*@*' -printf '%f\n' 2>/dev/null | sed 's/@.*//' | sort; }
leases_are() { [ "$(lease_addresses)" = "$1" ]; }
leases_are_the_pods() { leases_are "$(pod_addresses)"; }
# The host ends of all pods' veths, and of one pod.
pod_links() { ip -o link show master bridge0 2>/dev/null | sed 's/^[0-9]*: \([^@]*\)@.*/\1/' | sort; }

link_of() { basename "$LEASES/$(ip_of "$1")@"* | sed 's/.*@//'; }
no_netns() { [ -z "$(find /run/netns -name 'cni-*')" ]; }

# log_of kubelet|containerd: all it has said since the node exists.
log_of() {
  if [ -d /run/systemd/system ]; then journalctl --unit "$1" --boot; else cat "/var/log/$1.log"; fi
}

# restart kubelet|containerd, and wait until it is another process.
restart() {
  local before
  before=$(pgrep -ox "$1")
  if [ -d /run/systemd/system ]; then systemctl restart "$1"; else pkill -x "$1"; fi
  eventually sh -c "pgrep -ox $1 | grep -vx $before"
}
