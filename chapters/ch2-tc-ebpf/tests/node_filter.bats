# The eBPF program on a real Kubernetes node.

load ../../../node/test

setup_file() { go_back; }

@test "the filter is on every pod's veth" {
  installed
  running my-pod my-pod-2
  [ "$(pod_links | wc -l)" -ge 2 ]
  for link in $(pod_links); do tc filter show dev "$link" ingress | grep simple_tc_parse; done
}
