# From chapter 1 to this one and back, on a real Kubernetes node with pods.

load ../../../node/test

setup_file() { go_back; }

has_filter() { tc filter show dev "$1" ingress | grep simple_tc_parse; }

@test "pods of chapter 1 keep their network through the upgrade; the filter comes with a restart" {
  installed ch1
  running my-pod
  old=$(link_of my-pod)
  ping -i 0.2 "$(ip_of my-pod)" >"$BATS_TEST_TMPDIR/ping" 3>&- &
  installed
  running my-pod-2
  eventually in_pod my-pod ping -c1 -W5 "$(ip_of my-pod-2)"
  eventually in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
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
  kubectl delete pods --all --now
  running my-pod
  link=$(link_of my-pod)
  installed ch1
  running my-pod-2
  eventually in_pod my-pod-2 ping -c1 -W5 "$(ip_of my-pod)"
  has_filter "$link"
  kubectl delete pod my-pod --now
  eventually leases_are_the_pods
  not ip link show "$link"
}

@test "at each moment of an installation there is a whole plugin" {
  installed
  for _ in {1..10}; do
    node/install ch1 "$PLUGIN_CH1"
    node/install ch2 "$PLUGIN_CH2"
  done 3>&- &
  while kill -0 $!; do
    CNI_COMMAND=VERSION /opt/cni/bin/ebpfcni <"$CONFIGURATION" | grep supportedVersions
  done
  wait $!
}
