# NetworkPolicy on a real Kubernetes node.

load policy

setup_file() {
  go_back
  installed
}
setup() { demo_pods; }
teardown() {
  stop_pings
  no_stranger
  kubectl delete pods,services --selector=made-by-test --now
}

@test "pods with the same labels have the same identity" {
  [ "$(identity_of my-pod-1)" = "$(identity_of my-pod-2)" ]
  [ "$(identity_of my-pod-1)" != "$(identity_of my-pod-3)" ]
}

@test "allow-frontend-to-backend: frontends reach the backend by its address, its Service and its name; others do not" {
  allow_frontend
  eventually not reaches other "$(ip_of backend)"
  for host in "$(ip_of backend)" "$(service_ip)" backend.default.svc.cluster.local; do
    for frontend in my-pod-1 my-pod-2 my-pod-3; do
      [ "$(reaches "$frontend" "$host")" = backend ]
    done
    not reaches other "$host"
  done
  # The other way round nobody is isolated, and what answers the backend may pass.
  eventually in_pod backend ping -c1 -W5 "$(ip_of other)"
}

# Microseconds; and when other's pings were answered, after SINCE.
now() { echo "${EPOCHREALTIME/[.,]/}"; }
answers() {
  sed -n 's/^\[\([0-9]*\)\.\([0-9]*\)\].* ttl=.*/\1\2/p' "$BATS_TEST_TMPDIR/from-other" |
    awk -v since="$1" '$1 > since' | grep .
}

# From a second after now on there are no answers; and within a second after now there are.
ends_within_a_second() {
  local soon=$(($(now) + 1000000))
  eventually not reaches other "$(ip_of backend)"
  not answers "$soon"
}
begins_within_a_second() {
  local since
  since=$(now)
  eventually answers "$since"
  [ "$(answers "$since" | head -n1)" -lt $((since + 1000000)) ]
}

@test "policies and labels take effect within a second, on what is under way too" {
  ping_from other
  begins_within_a_second
  allow_frontend
  ends_within_a_second
  kubectl label pod other app=frontend --overwrite
  begins_within_a_second
  kubectl label pod other app=other --overwrite
  ends_within_a_second
  kubectl delete networkpolicy allow-frontend-to-backend
  begins_within_a_second
}

@test "an isolated pod resolves names, and reaches itself through its Service" {
  policy isolate-all '{podSelector: {}}'
  eventually not reaches other "$(ip_of backend)"
  in_pod backend nslookup kubernetes.default.svc.cluster.local
  for host in "$(service_ip)" backend.default.svc.cluster.local; do
    [ "$(reaches backend "$host")" = backend ]
  done
}

@test "kubelet's probes reach an isolated pod, and so does the node" {
  policy isolate-all '{podSelector: {}}'
  kubectl apply -f - <<'  END'
    apiVersion: v1
    kind: Pod
    metadata: {name: probed, labels: {made-by-test: ""}}
    spec:
      containers:
        - name: busybox
          image: busybox:1.35
          command: [httpd, -f]
          readinessProbe: &probe {tcpSocket: {port: 80}, periodSeconds: 1, failureThreshold: 1}
          livenessProbe: *probe
  END
  kubectl wait --for=condition=Ready --timeout="${PATIENCE}s" pod/probed
  not in_pod other ping -c1 -W2 "$(ip_of probed)"
  eventually ping -c1 -W5 "$(ip_of probed)"
  [ "$(kubectl get pod probed -o jsonpath='{.status.containerStatuses[0].restartCount}')" = 0 ]
}

# from NETNS|node HOST: as reaches, without a pod.
from() {
  local enter=()
  [ "$1" = node ] || enter=(ip netns exec "$1")
  "${enter[@]}" timeout 5 bash -c "exec 3<>/dev/tcp/$2 && echo -e 'GET / HTTP/1.0\r\n\r' >&3 && grep backend <&3"
}

# Somebody outside: his packets come in through the node, and leave again with the node's address
# where kube-proxy masquerades.
stranger() {
  ip netns add stranger
  ip link add stranger type veth peer name eth0 netns stranger
  ip addr add 192.0.2.1/24 dev stranger
  ip link set stranger up
  ip -n stranger addr add 192.0.2.2/24 dev eth0
  ip -n stranger link set eth0 up
  ip -n stranger route add default via 192.0.2.1
}
no_stranger() {
  [ ! -e /run/netns/stranger ] || { ip link del stranger; ip netns del stranger; }
}

@test "a NodePort hides nobody: the node gets in, the outside and other pods do not" {
  kubectl expose pod backend --name=backend-outside --port=80 --type=NodePort --labels=made-by-test=
  node_ip=$(kubectl get node "$NODE" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  node_port=$(kubectl get service backend-outside -o jsonpath='{.spec.ports[0].nodePort}')
  stranger
  eventually from stranger "$node_ip/$node_port"
  allow_frontend
  eventually not from stranger "$node_ip/$node_port"
  from node "$node_ip/$node_port"
  from node "$(ip_of backend)/80"
  not from stranger "$(ip_of backend)/80"
  reaches my-pod-1 "$node_ip:$node_port"
  not reaches other "$node_ip:$node_port"
  # Who is no pod may come in where everybody may.
  policy allow-everybody '{podSelector: {}, ingress: [{}]}'
  eventually from stranger "$node_ip/$node_port"
}
