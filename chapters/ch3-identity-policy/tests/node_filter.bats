# The eBPF programs on a real Kubernetes node.

load ../../../node/test

setup_file() { go_back; }

@test "both filters are on every pod's veth" {
  installed
  running my-pod my-pod-2
  kubectl wait pods --namespace=kube-system --selector=k8s-app=kube-dns --for=condition=Ready --timeout="${PATIENCE}s"
  [ "$(pod_links | wc -l)" -ge 2 ]
  for link in $(pod_links); do
    tc filter show dev "$link" ingress | grep from_pod
    tc filter show dev "$link" egress | grep to_pod
  done
}
