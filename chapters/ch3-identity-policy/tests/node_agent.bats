# The agent on a real Kubernetes node: it comes and goes, what it has written holds.

load policy

setup_file() { go_back; }
setup() {
  installed
  demo_pods
}
teardown() {
  stop_pings
  rm -f "$STATIC"
  if [ -e "$API_SERVER_AWAY" ]; then api_server_comes; fi
}
STATIC=/etc/kubernetes/manifests/static.yaml
API_SERVER=/etc/kubernetes/manifests/kube-apiserver.yaml
API_SERVER_AWAY=/etc/kubernetes/kube-apiserver.yaml

process_is_another() { agent_pid && not grep -wx "$1" <(agent_pid); }
agent_is_another() { agent status && process_is_another "$1"; }
# Without an API server there is no kubectl logs.
newest_log_says() {
  local log
  log=$(find /var/log/pods/kube-system_ebpf-agent-*/ -name '*.log' -printf '%T@ %p\n' | sort -n | tail -n1 | cut -d' ' -f2)
  grep "$1" "$log"
}
api_server_goes() {
  mv "$API_SERVER" "$API_SERVER_AWAY"
  eventually not api_server_answers
}
api_server_comes() {
  mv "$API_SERVER_AWAY" "$API_SERVER"
  eventually command kubectl get --raw /readyz
}

@test "allowed goes on and denied stays denied while the agent is restarted, killed and taken away" {
  allow_frontend
  eventually not reaches other "$(ip_of backend)"
  identity=$(identity_of my-pod-3)
  ping_from my-pod-1 other
  before=$(agent_pid)
  kubectl delete pod --namespace=kube-system --selector=app=ebpf-agent
  eventually agent_is_another "$before"
  before=$(agent_pid)
  kill -KILL "$before"
  eventually agent_is_another "$before"
  node/remove-agent
  [ "$(reaches my-pod-2 "$(service_ip)")" = backend ]
  not reaches other "$(service_ip)"
  installed
  stop_pings
  loss_is 0 from-my-pod-1
  loss_is 100 from-other
  [ "$(identity_of my-pod-3)" = "$identity" ]
}

@test "without the agent pods wait and end; when it is back, all is as it should be" {
  node/remove-agent
  allow_frontend
  kubectl delete pod my-pod-2 --now
  kubectl run late --image=busybox:1.35 --labels=app=other -- sleep infinity
  eventually sh -c 'kubectl describe pod late | grep "ebpf-agent did not take the pod"'
  [ "$(phase_of late)" = Pending ]
  reaches other "$(ip_of backend)"
  installed
  kubectl wait --for=condition=Ready --timeout="${PATIENCE}s" pod/late
  eventually not reaches other "$(ip_of backend)"
  not reaches late "$(ip_of backend)"
  [ "$(identity_of late)" = "$(identity_of other)" ]
  [ "$(agent endpoint list | awk 'NR > 1 {print $6}' | sort)" = "$(pod_addresses)" ]
  kubectl delete pod late --now
}

@test "without the API server for a minute the last policies hold, also when the agent is killed meanwhile" {
  allow_frontend
  eventually not reaches other "$(ip_of backend)"
  ping_from my-pod-1 other
  before=$(agent_pid)
  api_server_goes
  sleep 60
  [ "$(agent_pid)" = "$before" ]
  kill -KILL "$before"
  eventually process_is_another "$before"
  eventually newest_log_says 'watching pods'
  api_server_comes
  stop_pings
  loss_is 0 from-my-pod-1
  loss_is 100 from-other
  eventually agent status
  not reaches other "$(ip_of backend)"
  kubectl delete networkpolicies --all
  eventually reaches other "$(ip_of backend)"
}

@test "pods that start while the agent restarts run soon after" {
  kubectl create deployment many --image=busybox:1.35 --replicas=10 -- sleep infinity
  for _ in 1 2; do
    before=$(agent_pid)
    kubectl delete pod --namespace=kube-system --selector=app=ebpf-agent
    eventually agent_is_another "$before"
  done
  kubectl rollout status deployment many --timeout="${PATIENCE}s"
  eventually leases_are_the_pods
  [ "$(agent endpoint list | grep -c app=many)" = 10 ]
  kubectl delete deployment many
  kubectl delete pods --selector=app=many --now
  eventually leases_are_the_pods
}

@test "another agent replaces the one that runs; the same one does not" {
  before=$(agent_pid)
  installed
  [ "$(agent_pid)" = "$before" ]
  tested=$CHAPTER
  plugin=PLUGIN_${tested^^}
  cp "${!plugin}" "$BATS_TEST_TMPDIR/plugin"
  cat "${!plugin}-agent" - <<<another >"$BATS_TEST_TMPDIR/plugin-agent"
  node/install "$tested" "$BATS_TEST_TMPDIR/plugin"
  cmp "$BATS_TEST_TMPDIR/plugin-agent" "/proc/$(agent_pid)/exe"
}

@test "an agent that hangs is restarted" {
  before=$(agent_pid)
  kill -STOP "$before"
  eventually agent_is_another "$before"
}

@test "the agent may do no more than it must" {
  # CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and no program can give it more.
  grep -E '^(CapBnd|NoNewPrivs):' "/proc/$(agent_pid)/status" | tr -s '\t\n' ' ' | grep 'CapBnd: 000000c000001000 NoNewPrivs: 1'
  for request in 'list secrets' 'list configmaps' 'list nodes' 'watch services'; do
    # shellcheck disable=SC2086  # two words
    not kubectl auth can-i $request --as=system:serviceaccount:kube-system:ebpf-agent --all-namespaces
  done
  not kubectl auth can-i patch pods --as=system:serviceaccount:kube-system:ebpf-agent --all-namespaces
}

@test "a static pod has an identity, too" {
  cat >"$STATIC" <<'  END'
    apiVersion: v1
    kind: Pod
    metadata: {name: static, namespace: default, labels: {app: other}}
    spec:
      containers: [{name: busybox, image: "busybox:1.35", command: [sleep, infinity]}]
      terminationGracePeriodSeconds: 1
  END
  eventually kubectl wait --for=condition=Ready --timeout="${PATIENCE}s" "pod/static-$NODE"
  [ "$(identity_of "static-$NODE")" = "$(identity_of other)" ]
  rm "$STATIC"
  eventually not kubectl get pod "static-$NODE"
}

@test "when all is gone, so are the agent, its pins and its maps" {
  map=$(bpftool map show pinned /sys/fs/bpf/tc/globals/endpoint_map | cut -d: -f1)
  go_back
  not agent_pid
  not kubectl get clusterrole ebpf-agent
  [ ! -e /sys/fs/bpf/tc/globals ]
  [ ! -e /sys/fs/bpf/ebpfcni-from-pod ]
  eventually not bpftool map show id "$map"
}
