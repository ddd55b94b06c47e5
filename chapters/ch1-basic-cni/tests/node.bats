# The plugin on a real Kubernetes node: `scripts/test-node` and a chapter, `ch1`. Each chapter's
# plugin must pass these.

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
  kubectl wait pods --namespace=kube-system --selector=k8s-app=kube-dns --for=condition=Ready --timeout="${PATIENCE}s"
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
  eventually in_pod my-pod ping -c1 -W5 "$(ip_of my-pod-2)"
  eventually in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
  node_ip=$(kubectl get node "$NODE" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  eventually in_pod my-pod ping -c1 -W5 "$node_ip"
  eventually ping -c1 -W5 "$(ip_of my-pod)"
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
  kubectl rollout status deployment many --timeout="${PATIENCE}s"
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
