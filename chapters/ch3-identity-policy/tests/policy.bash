# What this chapter's tests of a real node have in common.
# shellcheck shell=bash

load ../../../node/test

MANIFESTS=$BATS_TEST_DIRNAME/../manifests

# agent COMMAND…: its command line, asked where it runs.
agent() { kubectl exec --namespace=kube-system daemonset/ebpf-agent -- ebpf-agent "$@"; }
agent_pid() { pgrep -fx '/ebpf-agent run'; }

# identity_of POD, of the default namespace.
identity_of() { agent endpoint list | awk -v pod="default/$1" '$2 == pod {print $5}' | grep .; }

# demo_pods: they run as in the manifests, and no policy isolates them.
demo_pods() {
  kubectl delete networkpolicies --all
  kubectl apply -f "$MANIFESTS/pods.yaml" -f "$MANIFESTS/service.yaml"
  kubectl wait --for=condition=Ready --timeout="${PATIENCE}s" pods --selector='app in (frontend, other, backend)'
  eventually reaches other "$(service_ip)"
}
service_ip() { kubectl get service backend -o jsonpath='{.spec.clusterIP}'; }

allow_frontend() { kubectl apply -f "$MANIFESTS/allow-frontend-to-backend.yaml"; }
# policy NAME SPEC
policy() {
  kubectl apply -f - <<<"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: $1}, spec: $2}"
}

# reaches POD HOST: a connection to HOST's port 80 is opened, and answered. What a policy denies is
# dropped, so whoever is denied waits in vain.
reaches() { in_pod "$1" timeout 5 wget -qO- "http://$2"; }

# Pings, ten a second, until stop_pings: from each of these pods to the backend; from the node to
# each of them.
ping_from() {
  local pod
  for pod; do keep_pinging "from-$pod" ip netns exec "$(netns_of "$pod")" ping -D -i 0.1 "$(ip_of backend)"; done
}
ping_to() {
  local pod
  for pod; do keep_pinging "to-$pod" ping -i 0.1 "$(ip_of "$pod")"; done
}
keep_pinging() {
  "${@:2}" >"$BATS_TEST_TMPDIR/$1" 3>&- &
  PINGS+=("$!")
}
netns_of() { ip -o link show "$(link_of "$1")" | grep -o 'cni-[0-9a-f-]*'; }
stop_pings() {
  [ "${#PINGS[@]}" = 0 ] || kill -INT "${PINGS[@]}"
  wait "${PINGS[@]}" || true
  PINGS=()
}
# loss_is PERCENT PINGS…
loss_is() {
  local pings
  for pings in "${@:2}"; do grep " $1% packet loss" "$BATS_TEST_TMPDIR/$pings"; done
}
