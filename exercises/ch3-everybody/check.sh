# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash disable=SC2154  # `exercise` comes from there

# policy PEER…: pods with app=backend let in these.
policy() {
  lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: backend }
spec:
  podSelector: { matchLabels: { app: backend } }
  ingress: [{ from: [$1] }]
YAML
}
world() { lab node-exec -- ip netns exec world ping -c1 "${2--w20}" "$1"; }

configure
pod backend app=backend
pod other app=other
backend=$(ip_of backend)
# Somebody who is neither a pod nor the node, behind a link of the node.
lab node-exec -- sh -ec 'ip netns add world; ip link add world type veth peer name eth0 netns world
  ip addr add 192.0.2.1/24 dev world; ip link set world up; ip -n world link set eth0 up
  ip -n world addr add 192.0.2.2/24 dev eth0; ip -n world route add default via 192.0.2.1'
expect 'without a policy, the world reaches the backend' world "$backend"

policy '{ ipBlock: { cidr: 192.0.2.0/24 } }'
expect 'an ipBlock that is not everything is not enforced' soon shows 'ipBlock' lab ebpf-agent status
expect_not 'so it lets nobody in' world "$backend" -W2
lab apply -f "$exercise/policy.yaml" >/dev/null
expect 'ipBlock 0.0.0.0/0 is the wildcard in the map' soon shows 'Allow +0 +any' lab ebpf-agent bpf policy get backend
expect 'the world reaches the backend' world "$backend"
expect 'pods do, too' reaches other "$backend"
expect 'the agent can explain it' shows 'allowed' lab ebpf-agent explain world backend
policy '{ ipBlock: { cidr: 0.0.0.0/0, except: [192.0.2.2/32] } }'
expect 'with an exception, it is not enforced' soon shows 'ipBlock' lab ebpf-agent status
expect_not 'and lets nobody in' world "$backend" -W2
policy '{ ipBlock: { cidr: 0.0.0.0/0 } }'
expect 'without it, everybody again' soon ping_from other "$backend"
policy '{ ipBlock: { cidr: 0.0.0.0/0 }, podSelector: { matchLabels: { app: friend } } }'
expect 'together with a selector, neither: no API server would take that' soon shows 'ipBlock' lab ebpf-agent status
expect_not 'and it lets nobody in' ping_from other "$backend"
