# Nine pods in three namespaces, each with two ports, and who reaches whom: as Kubernetes' own tests of
# NetworkPolicy have them.
# shellcheck shell=bash

load policy

PODS=(x/a x/b x/c y/a y/b y/c z/a z/b z/c)
PORTS=(80 81)

# nine_pods: they run, and answer by their names.
nine_pods() {
  local pod
  for namespace in x y z; do
    kubectl create namespace "$namespace"
    kubectl label namespace "$namespace" "ns=$namespace"
  done
  for pod in "${PODS[@]}"; do
    kubectl apply -f - <<END
apiVersion: v1
kind: Pod
metadata: {name: "${pod#*/}", namespace: "${pod%/*}", labels: {pod: "${pod#*/}"}} # y would be a yes
spec:
  containers:
    - name: busybox
      image: busybox:1.35
      command: [sh, -c, 'nc -ll -p 80 -e hostname & nc -ll -p 81 -e hostname & wait']
      ports: [{name: serve-80-tcp, containerPort: 80}, {name: serve-81-tcp, containerPort: 81}]
  terminationGracePeriodSeconds: 1
END
  done
  for namespace in x y z; do
    kubectl wait --namespace="$namespace" --for=condition=Ready --timeout="${PATIENCE}s" pod --all
  done
  for pod in "${PODS[@]}"; do
    echo "$pod $(kubectl get pod "${pod#*/}" --namespace="${pod%/*}" -o jsonpath='{.status.podIP}')"
  done >"$BATS_FILE_TMPDIR/addresses"
}
address() { awk -v pod="$1" '$1 == pod {print $2}' "$BATS_FILE_TMPDIR/addresses" | grep .; }

no_policies() {
  for namespace in x y z; do kubectl delete networkpolicies --all --namespace="$namespace"; done
}
# policy_in NAMESPACE NAME SPEC
policy_in() {
  kubectl apply -f - <<<"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: \"$2\", namespace: \"$1\"}, spec: $3}"
}

# In a pod: which of these, ADDRESS:PORT, answer? All are asked at once.
# shellcheck disable=SC2016  # it is for the pod's shell
ASK='for each; do { [ "$(nc -w3 "${each%:*}" "${each#*:}" </dev/null 2>/dev/null)" ] && echo "$each"; } & done; wait'
# reached POD: what it reaches, as TO PORT.
reached() {
  local to port targets=()
  for to in "${PODS[@]}"; do
    for port in "${PORTS[@]}"; do targets+=("$(address "$to"):$port"); done
  done
  kubectl exec "${1#*/}" --namespace="${1%/*}" -- sh -c "$ASK" sh "${targets[@]}" |
    awk -F: 'NR == FNR {split($0, it, " "); name[it[2]] = it[1]; next} {print name[$1], $2}' "$BATS_FILE_TMPDIR/addresses" -
}
# Who reaches whom by what, as FROM TO PORT.
matrix() {
  local from
  for from in "${PODS[@]}"; do
    reached "$from" | sed "s|^|$from |" >"$BATS_TEST_TMPDIR/${from/\//-}" &
  done
  wait
  cat "$BATS_TEST_TMPDIR"/?-? | sort
}
# matrix_is COMMAND…: COMMAND FROM TO PORT says who should; a pod always reaches itself.
matrix_is() {
  local from to port
  for from in "${PODS[@]}"; do
    for to in "${PODS[@]}"; do
      for port in "${PORTS[@]}"; do
        if [ "$from" = "$to" ] || "$@" "$from" "$to" "$port"; then echo "$from $to $port"; fi
      done
    done
  done | sort >"$BATS_TEST_TMPDIR/wanted"
  diff "$BATS_TEST_TMPDIR/wanted" <(matrix)
}
