# Egress behind Services on a real node, with its kube-proxy, its DNS and its API server.

load policy

setup_file() {
  go_back
  installed
}
setup() { demo_pods; }
teardown() { kubectl delete services --selector=made-by-test; }

filter_is_on_bridge() { tc filter show dev bridge0 ingress | grep to_node; }
# egress RULES: these are the ways out of frontends.
egress() { policy frontend-egress "{podSelector: {matchLabels: {app: frontend}}, policyTypes: [Egress], egress: [$1]}"; }
DNS='{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{protocol: UDP, port: 53}, {port: 53}]}'
BACKEND='{to: [{podSelector: {matchLabels: {app: backend}}}], ports: [{port: 80}]}'
resolves() { in_pod my-pod-1 timeout 5 nslookup kubernetes.default.svc.cluster.local; }

@test "the third program is on the bridge, and comes back" {
  filter_is_on_bridge
  tc filter del dev bridge0 ingress
  eventually filter_is_on_bridge
  eventually agent status
}

@test "a pod isolated for egress reaches nothing, and answers" {
  egress ''
  eventually not resolves
  not reaches my-pod-1 "$(ip_of backend)"
  not reaches my-pod-1 "$(service_ip)"
  eventually in_pod other ping -c1 -W5 "$(ip_of my-pod-1)"
  eventually ping -c1 -W5 "$(ip_of my-pod-1)"
}

@test "DNS and a Service by its pod's port" {
  egress "$DNS"
  eventually resolves
  not reaches my-pod-1 "$(ip_of backend)"
  egress "$DNS, $BACKEND"
  eventually reaches my-pod-1 "$(ip_of backend)"
  [ "$(reaches my-pod-1 "$(service_ip)")" = backend ]
  [ "$(reaches my-pod-1 backend.default.svc.cluster.local)" = backend ]
  # A Service with another port: what counts is the pod's.
  kubectl expose pod backend --name=by-8080 --port=8080 --target-port=80 --labels=made-by-test=
  by_8080=$(kubectl get service by-8080 -o jsonpath='{.spec.clusterIP}')
  eventually reaches my-pod-1 "$by_8080:8080"
  egress "$DNS, {to: [{podSelector: {matchLabels: {app: backend}}}], ports: [{port: 8080}]}"
  eventually not reaches my-pod-1 "$by_8080:8080"
  not reaches my-pod-1 "$(service_ip)"
}

@test "the API server by a block of its node and its own port" {
  node_ip=$(kubectl get node "$NODE" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  # nc says whether it is connected; TLS it does not speak.
  connects() { in_pod my-pod-1 timeout 5 nc -w2 "$1" "$2" </dev/null; }
  api=$(kubectl get service kubernetes -o jsonpath='{.spec.clusterIP}')
  eventually connects "$api" 443
  egress "{to: [{ipBlock: {cidr: $api/32}}]}"
  eventually not connects "$api" 443
  egress "{to: [{ipBlock: {cidr: $node_ip/32}}], ports: [{port: 6443}]}"
  eventually connects "$api" 443
  egress "{to: [{ipBlock: {cidr: $node_ip/32}}], ports: [{port: 443}]}"
  eventually not connects "$api" 443
}

@test "a NodePort is judged by the pod behind it" {
  kubectl expose pod backend --name=backend-outside --port=80 --type=NodePort --labels=made-by-test=
  node_ip=$(kubectl get node "$NODE" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  node_port=$(kubectl get service backend-outside -o jsonpath='{.spec.ports[0].nodePort}')
  eventually reaches my-pod-1 "$node_ip:$node_port"
  egress ''
  eventually not reaches my-pod-1 "$node_ip:$node_port"
  egress "$BACKEND"
  eventually reaches my-pod-1 "$node_ip:$node_port"
}

@test "explain and the map say by which ports" {
  egress "$DNS, $BACKEND"
  eventually sh -c "kubectl exec --namespace=kube-system daemonset/ebpf-agent -- ebpf-agent explain my-pod-1 backend | grep 'allowed by 80/TCP'"
  agent bpf policy get my-pod-1 | grep -E 'Egress .*app=backend +80/TCP'
  agent explain my-pod-1 other:80 | grep 'isolated for egress'
}

@test "explain follows a Service to each backend and its own port" {
  kubectl expose pod backend --name=by-8080 --port=8080 --target-port=80 --labels=made-by-test=
  by_8080=$(kubectl get service by-8080 -o jsonpath='{.spec.clusterIP}')
  explained() { agent explain my-pod-1 "$by_8080:8080" | grep "default/backend .*:80/TCP: $1"; }
  egress "$DNS, $BACKEND"
  eventually explained allowed
  agent explain my-pod-1 "$by_8080" | grep '(Service default/by-8080), 8080/TCP: allowed, 1 of 1 backends'
  agent explain my-pod-1 "$by_8080:80" | grep 'not by this port: default/by-8080 8080/TCP'
  egress "$DNS"
  eventually explained denied
  # Its backend is the node.
  api=$(kubectl get service kubernetes -o jsonpath='{.spec.clusterIP}')
  agent explain my-pod-1 "$api:443" | grep ':6443/TCP: denied'
}
