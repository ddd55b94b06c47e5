# Kubernetes' tests of NetworkPolicy in small, on a real node: nine pods, each asks each by two ports.

load matrix

setup_file() {
  go_back
  installed
  nine_pods
}
teardown() { no_policies; }
teardown_file() { kubectl delete namespaces x y z --wait; }

to_x_a() { [ "$2" = x/a ]; }

@test "without a policy all reach all" {
  everybody() { true; }
  eventually matrix_is everybody
}

@test "deny all ingress, all egress, and both" {
  policy_in x deny '{podSelector: {}, policyTypes: [Ingress]}'
  into_x() { [[ $2 != x/* ]]; }
  eventually matrix_is into_x
  policy_in x deny '{podSelector: {}, policyTypes: [Egress]}'
  out_of_x() { [[ $1 != x/* ]]; }
  eventually matrix_is out_of_x
  policy_in x deny '{podSelector: {}, policyTypes: [Ingress, Egress]}'
  neither() { [[ $1 != x/* && $2 != x/* ]]; }
  eventually matrix_is neither
}

@test "one port, then another policy with the other one" {
  policy_in x port-81 '{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 81}]}]}'
  by_81() { ! to_x_a "$@" || [[ $1 = y/* && $3 = 81 ]]; }
  eventually matrix_is by_81
  policy_in x port-80 '{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 80}]}]}'
  stacked() { ! to_x_a "$@" || [[ $3 = 80 || $1 = y/* ]]; }
  eventually matrix_is stacked
}

@test "a named port, a range, and what is only UDP" {
  policy_in x ports '{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: serve-81-tcp}]}]}'
  by_name() { ! to_x_a "$@" || [ "$3" = 81 ]; }
  eventually matrix_is by_name
  policy_in x ports '{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 81, endPort: 90}]}]}'
  eventually matrix_is by_name
  policy_in x ports '{podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{protocol: UDP, port: 80}]}]}'
  by_none() { ! to_x_a "$@"; }
  eventually matrix_is by_none
}

@test "a block selects pods by their addresses, without its exception" {
  policy_in x block "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $(address y/b)/32}}]}]}"
  to_y_b() { [ "$1" != x/a ] || [ "$2" = y/b ]; }
  eventually matrix_is to_y_b
  policy_in x block "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [$(address y/b)/32]}}]}]}"
  but_y_b() { [ "$1" != x/a ] || [ "$2" != y/b ]; }
  eventually matrix_is but_y_b
  policy_in x back "{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: $(address y/b)/32}}], ports: [{port: 80}]}]}"
  back() { [ "$1" != x/a ] || [ "$2" != y/b ] || [ "$3" = 80 ]; }
  eventually matrix_is back
}

@test "both ends must allow it, by the same port" {
  policy_in x out '{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: "y"}}, podSelector: {matchLabels: {pod: a}}}], ports: [{port: 80}]}]}'
  policy_in y in '{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}]}]}'
  both() {
    case "$1 $2" in
      'x/a y/a') [ "$3" = 80 ] ;;
      'x/a '*) false ;;
      *' y/a') [[ $1 = x/* ]] ;;
    esac
  }
  eventually matrix_is both
  policy_in y in '{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 81}]}]}'
  no_port() {
    case "$1 $2" in
      'x/a '*) false ;;
      *' y/a') [[ $1 = x/* && $3 = 81 ]] ;;
    esac
  }
  eventually matrix_is no_port
}

@test "a label that changes changes both directions" {
  policy_in x labels '{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {friend: "yes"}}}], ports: [{port: 80}]}]}'
  nobody() { ! to_x_a "$@"; }
  eventually matrix_is nobody
  kubectl label pod b --namespace=y friend=yes
  a_friend() { ! to_x_a "$@" || [[ $1 = y/b && $3 = 80 ]]; }
  eventually matrix_is a_friend
  kubectl label pod b --namespace=y friend-
  eventually matrix_is nobody
}
