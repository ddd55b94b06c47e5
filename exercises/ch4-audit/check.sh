# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

audited() { lab ebpf-agent metrics | grep drop_packets; }
denied() { ! ping_from "$@"; }
# What the monitor says first of such a packet, while other goes on pinging the backend.
heard() {
  lab exec other -- timeout 30 ping -i0.3 "$backend" >/dev/null 2>&1 &
  lab node-exec -- sh -c 'timeout 30 /run/lab/bin/ebpf-agent monitor --from other | grep -m1 "would be denied"'
}

configure
pod frontend app=frontend
pod backend app=backend
pod other app=other
lab create namespace strict >/dev/null
lab pod run guarded --namespace strict >/dev/null
backend=$(ip_of backend)
guarded=$(lab pods -A | awk '$2 == "guarded" {print $NF}')
lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: backend }
spec:
  podSelector: { matchLabels: { app: backend } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: frontend } } }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: frontend }
spec:
  podSelector: { matchLabels: { app: frontend } }
  policyTypes: [Egress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: guarded, namespace: strict }
spec: { podSelector: {} }
YAML
expect_not 'the policy denies other, on its way in' ping_from other "$backend"
expect_not 'and frontend, on its way out' ping_from frontend "$backend"

lab label namespace default policy-audit=yes >/dev/null
expect 'with the label policy-audit on its namespace, other gets in' soon ping_from other "$backend"
expect 'and its answers come, too: a second ping' reaches other "$backend"
expect 'frontend gets out' soon ping_from frontend "$backend"
expect 'and to the node' ping_from frontend 10.13.0.1
expect 'what would be denied has a counter' shows '\{reason="would be denied"\} [1-9]' audited
expect 'and the monitor tells of it' shows 'default/backend ICMP to-pod: would be denied' heard
expect_not 'the pod of another namespace is as closed as before' ping_from other "$guarded"
lab label namespace default policy-audit- >/dev/null
expect 'without the label, other is denied again' soon denied other "$backend"
expect_not 'and frontend' ping_from frontend "$backend"
