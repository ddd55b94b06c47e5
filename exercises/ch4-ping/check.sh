# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

denied() { ! ping_from "$@"; }
explained() { lab ebpf-agent explain "$@"; }

configure
pod frontend app=frontend
pod backend app=backend
pod other app=other
backend=$(ip_of backend)
lab apply -f chapters/ch4-full-policy/manifests/allow-frontend-by-port.yaml >/dev/null
expect 'a policy isolates the backend' soon denied other "$backend"
expect 'frontend may use port 80, so it may ping' ping_from frontend "$backend"
expect 'explain says so' shows 'backend .*: allowed$' explained frontend backend/ICMP
expect_not 'other may use no port, and may not ping' ping_from other "$backend"
expect 'frontend still may not use port 8080' shows ': denied$' explained frontend backend:8080
lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: all-but-one }
spec:
  podSelector: { matchLabels: { app: backend } }
  ingress:
    - from: [{ ipBlock: { cidr: 10.13.0.0/24, except: [$(ip_of other)/32] } }]
      ports: [{ port: 53, protocol: UDP }]
YAML
pod third app=third
expect 'a block is as good as a pair' soon ping_from third "$backend"
expect_not 'and its exception is one' ping_from other "$backend"
lab apply -f - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: out }
spec:
  podSelector: { matchLabels: { app: third } }
  policyTypes: [Egress]
YAML
expect 'on the way out nothing is open, so third may not ping any more' soon denied third "$backend"
