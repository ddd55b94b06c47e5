# The chapter on a real Kubernetes node: `scripts/test-node` and the chapter's short name.

load ../../../node/test

setup_file() { go_back; }

@test "without a plugin the node is NotReady, and pods stay Pending" {
  node_is False
  run_pod my-pod
  eventually sh -c 'kubectl describe pod my-pod | grep -q node.kubernetes.io/not-ready'
  [ "$(phase_of my-pod)" = Pending ]
  eventually sh -c 'kubectl get pods --namespace=kube-system --selector=k8s-app=kube-dns | grep Pending'
}

@test "with it the node is Ready, and pods run with addresses from its podCIDR" {
  installed
  running my-pod
  podcidr=$(kubectl get node "$NODE" -o jsonpath='{.spec.podCIDR}')
  ip route get "$(ip_of my-pod)" | grep 'dev bridge0'
  ip route show "$podcidr" | grep 'dev bridge0'
  kubectl wait pods --namespace=kube-system --selector=k8s-app=kube-dns --for=condition=Ready --timeout=15m
  leases_are_the_pods
}

@test "API server, kubelet, containerd, plugin: the logs show the whole chain" {
  installed
  running my-pod
  log_of kubelet | grep 'SyncLoop ADD.*source="api".*default/my-pod"'
  log_of containerd | grep 'RunPodSandbox for &PodSandboxMetadata{Name:my-pod,'
  sandbox=$(log_of containerd | sed -n 's/.*RunPodSandbox for &PodSandboxMetadata{Name:my-pod,.* returns sandbox id \\"\([0-9a-f]*\).*/\1/p' | tail -n1)
  grep "$sandbox" "$LEASES/$(ip_of my-pod)@"*
}

@test "pods reach each other and the node, and the node reaches them" {
  installed
  running my-pod my-pod-2
  in_pod my-pod ping -c1 -W5 "$(ip_of my-pod-2)"
  in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
  node_ip=$(kubectl get node "$NODE" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  in_pod my-pod ping -c1 -W5 "$node_ip"
  ping -c1 -W5 "$(ip_of my-pod)"
}

@test "pods reach a Service by address and by name, also the pod that is behind it" {
  installed
  running my-pod my-pod-2
  kubectl get service my-pod || kubectl expose pod my-pod --port=80
  cluster_ip=$(kubectl get service my-pod -o jsonpath='{.spec.clusterIP}')
  for client in my-pod-2 my-pod; do
    eventually in_pod "$client" timeout 5 wget -qO- "http://$cluster_ip"
    eventually in_pod "$client" timeout 5 wget -qO- http://my-pod
    [ "$(in_pod "$client" timeout 5 wget -qO- http://my-pod.default.svc.cluster.local)" = my-pod ]
  done
}

@test "pods keep their network while kubelet and containerd restart" {
  installed
  running my-pod my-pod-2
  before=$(kubectl get pods -o jsonpath='{range .items[*]}{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].restartCount}{"\n"}{end}')
  ping -i 0.2 "$(ip_of my-pod)" >"$BATS_TEST_TMPDIR/ping" 3>&- &
  restart kubelet
  restart containerd
  eventually in_pod my-pod ping -c1 -W5 "$(ip_of my-pod-2)"
  kill -INT $!
  wait $! || true
  grep ' 0% packet loss' "$BATS_TEST_TMPDIR/ping"
  eventually node_is True
  [ "$before" = "$(kubectl get pods -o jsonpath='{range .items[*]}{.metadata.uid} {.status.podIP} {.status.containerStatuses[0].restartCount}{"\n"}{end}')" ]
}

@test "thirty pods at once get thirty addresses, and give them back" {
  installed
  kubectl create deployment many --image=busybox:1.35 --replicas=30 -- sleep infinity
  kubectl rollout status deployment many --timeout=15m
  [ "$(kubectl get pods --selector=app=many -o jsonpath='{range .items[*]}{.status.podIP}{"\n"}{end}' | sort -u | grep -c .)" = 30 ]
  eventually leases_are_the_pods
  kubectl delete deployment many
  kubectl delete pods --selector=app=many --now
  eventually leases_are_the_pods
  [ "$(pod_links | wc -l)" = "$(pod_addresses | wc -l)" ]
}

@test "when all pods are gone, no lease, link or rule is left" {
  installed
  running my-pod my-pod-2
  go_back
  leases_are ''
  [ -z "$(pod_links)" ]
  eventually no_netns
  not grep ebpfcni <(nft list tables)
}

has_filter() { tc filter show dev "$1" ingress | grep simple_tc_parse; }

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

@test "the filter is on every pod's veth" {
  installed
  running my-pod my-pod-2
  [ "$(pod_links | wc -l)" -ge 2 ]
  for link in $(pod_links); do has_filter "$link"; done
}

@test "a ping between two pods is a line for the request and one for the reply" {
  installed
  running my-pod my-pod-2
  a=$(ip_of my-pod) b=$(ip_of my-pod-2)
  start_trace
  in_pod my-pod ping -c1 -W5 "$b"
  eventually grep "TC: Got a packet from $(hex "$a") to $(hex "$b")" "$TRACE/trace"
  eventually grep "TC: Got a packet from $(hex "$b") to $(hex "$a")" "$TRACE/trace"
}

@test "pods of chapter 1 keep their network through the upgrade; the filter comes with a restart" {
  go_back
  installed ch1 "$PLUGIN_BEFORE"
  running my-pod
  old=$(link_of my-pod)
  ping -i 0.2 "$(ip_of my-pod)" >"$BATS_TEST_TMPDIR/ping" 3>&- &
  installed
  running my-pod-2
  in_pod my-pod ping -c1 -W5 "$(ip_of my-pod-2)"
  in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
  kill -INT $!
  wait $! || true
  grep ' 0% packet loss' "$BATS_TEST_TMPDIR/ping"
  has_filter "$(link_of my-pod-2)"
  not has_filter "$old"

  kubectl delete pod my-pod --now
  running my-pod
  has_filter "$(link_of my-pod)"
  not ip link show "$old"
}

@test "pods of this chapter keep network and filter when chapter 1 is back, and it cleans up after them" {
  installed
  running my-pod
  link=$(link_of my-pod)
  installed ch1 "$PLUGIN_BEFORE"
  running my-pod-2
  in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
  has_filter "$link"
  kubectl delete pod my-pod --now
  eventually leases_are_the_pods
  not ip link show "$link"
}

@test "at each moment of an installation there is a whole plugin" {
  installed
  for _ in {1..10}; do
    node/install ch1 "$PLUGIN_BEFORE"
    node/install ch2 "$PLUGIN"
  done 3>&- &
  while kill -0 $!; do
    CNI_COMMAND=VERSION /opt/cni/bin/ebpfcni <"$CONFIGURATION" | grep supportedVersions
  done
  wait $!
}
