# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

# The packets that the bridge sees from one pod to another.
watch_bridge() {
  lab node-exec -- nft "add table bridge seen; add chain bridge seen prerouting { type filter hook prerouting priority 0; }
    add rule bridge seen prerouting ip saddr $1 ip daddr $2 counter; add rule bridge seen prerouting ip saddr $2 ip daddr $1 counter"
}
bridge() { lab node-exec -- nft list table bridge seen; }
# What the monitor says first of a new connection, while frontend goes on pinging the backend.
heard() {
  lab exec frontend -- timeout 30 sh -c "while sleep 0.3; do ping -c1 -W1 $backend; done" >/dev/null 2>&1 &
  lab node-exec -- sh -c 'timeout 30 /run/lab/bin/ebpf-agent monitor --type new --from frontend | grep -m1 ICMP'
}
denied() { ! ping_from "$@"; }

configure
pod frontend app=frontend
pod backend app=backend
pod other app=other
backend=$(ip_of backend)
watch_bridge "$(ip_of frontend)" "$backend"
expect 'frontend reaches the backend' ping_from frontend "$backend"
expect_not 'past the bridge, in both directions' shows 'packets [1-9]' bridge
expect 'the monitor tells of it' shows 'ICMP from-pod: new connection' heard
lab node-exec -- nft 'add table ip service; add chain ip service pre { type nat hook prerouting priority dstnat; }'
lab node-exec -- nft "add rule ip service pre ip daddr 10.96.0.10 dnat to $backend"
expect 'through a Service it works as before' ping_from frontend 10.96.0.10
expect 'a packet in fragments arrives' ping_from frontend "$backend" -s 4000
lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: backend }
spec:
  podSelector: { matchLabels: { app: backend } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: frontend } } }] }]
YAML
expect 'a policy denies other' soon denied other "$backend"
expect_not 'through the Service, too' ping_from other 10.96.0.10
expect 'and allows frontend' ping_from frontend "$backend"
expect 'whose packets are counted' shows 'app=frontend +ANY +[1-9]' lab ebpf-agent bpf policy get backend
lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: frontend }
spec: { podSelector: { matchLabels: { app: frontend } }, policyTypes: [Egress] }
YAML
expect 'when frontend is isolated for egress, it reaches nobody' soon denied frontend "$backend"
