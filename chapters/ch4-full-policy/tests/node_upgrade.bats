# From chapter 3 to this one and back, on a real Kubernetes node with pods that go on talking.

load policy

setup_file() { go_back; }
teardown() { stop_pings; }

filters_of() { tc filter show dev "$1" ingress && tc filter show dev "$1" egress; }

@test "pods of chapter 3 keep network, policy and connections, and get this chapter's programs; and back" {
  installed ch3
  demo_pods
  allow_frontend
  policy by-port '{podSelector: {matchLabels: {app: other}}, ingress: [{ports: [{port: 80}]}]}'
  eventually not reaches other "$(ip_of backend)"
  identity=$(identity_of my-pod-1)
  link=$(link_of backend)
  before=$(filters_of "$link")
  ping_from my-pod-1 other
  ping_to backend

  installed
  agent status
  [ "$(filters_of "$link")" != "$before" ]
  eventually tc filter show dev bridge0 ingress
  tc filter show dev bridge0 ingress | grep to_node
  [ "$(identity_of my-pod-1)" = "$identity" ]
  # What chapter 3 has not enforced is, from now on.
  agent explain my-pod-1 other:80 | grep 'allowed'
  not in_pod my-pod-1 ping -c1 -W2 "$(ip_of other)"
  [ "$(reaches my-pod-2 "$(service_ip)")" = backend ]

  installed ch3
  agent status
  [ "$(reaches my-pod-1 "$(service_ip)")" = backend ]
  not reaches other "$(service_ip)"
  stop_pings
  loss_is 0 from-my-pod-1 to-backend
  loss_is 100 from-other
}

@test "at each moment of an installation there is a whole plugin" {
  installed
  for _ in {1..2}; do
    node/install ch3 "$PLUGIN_CH3"
    node/install ch4 "$PLUGIN_CH4"
  done 3>&- &
  while kill -0 $!; do
    CNI_COMMAND=VERSION /opt/cni/bin/ebpfcni <"$CONFIGURATION" | grep supportedVersions
  done
  wait $!
}
