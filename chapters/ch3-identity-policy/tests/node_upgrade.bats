# From the chapters before to this one and back, on a real Kubernetes node with pods.

load policy

setup_file() { go_back; }
teardown() { stop_pings; }

filters_of() { tc filter show dev "$1" ingress && tc filter show dev "$1" egress; }
is_filtered() { filters_of "$1" | grep from_pod && filters_of "$1" | grep to_pod; }

# frontend POD: one more, made now, that a policy would let in.
frontend() {
  kubectl run "$1" --image=busybox:1.35 --labels=app=frontend -- sleep infinity
  running "$1"
}

# A pod from before is nobody to this chapter: its packets pass no from_pod that would say who sent
# them, so it is the world, whatever its labels. Nothing protects it. Made anew it is a pod.
@test "pods of chapters 1 and 2 keep their network, and are pods of this one when they are made anew" {
  installed ch1
  frontend old-1
  installed ch2
  frontend old-2
  link=$(link_of old-2)
  before=$(filters_of "$link")
  ping_to old-1 old-2

  installed
  demo_pods
  [ "$(filters_of "$link")" = "$before" ]
  # While nobody is isolated, old and new pods reach each other, and names.
  eventually in_pod old-1 ping -c1 -W5 "$(ip_of old-2)"
  for old in old-1 old-2; do
    [ "$(reaches $old backend.default.svc.cluster.local)" = backend ]
    eventually in_pod my-pod-1 ping -c1 -W5 "$(ip_of $old)"
  done
  # A policy cannot let them in.
  allow_frontend
  eventually not reaches other "$(ip_of backend)"
  for old in old-1 old-2; do
    not reaches $old "$(ip_of backend)"
    not identity_of $old
    eventually in_pod backend ping -c1 -W5 "$(ip_of $old)"
  done
  stop_pings
  loss_is 0 to-old-1 to-old-2

  kubectl delete pods old-1 old-2 --now
  not ip link show "$link"
  for old in old-1 old-2; do
    frontend $old
    is_filtered "$(link_of $old)"
    [ "$(identity_of $old)" = "$(identity_of my-pod-1)" ]
    [ "$(reaches $old "$(service_ip)")" = backend ]
  done
}

# Without their agent, pods of this chapter keep the last policies until they end. Other chapters'
# pods are the world to them.
@test "pods of this chapter keep the last policies when chapters 2 and 1 are back, and policies change again with this one" {
  installed
  demo_pods
  allow_frontend
  eventually not reaches other "$(ip_of backend)"
  link=$(link_of my-pod-2)
  ping_to backend

  for chapter in ch2 ch1; do
    installed $chapter
    not agent_pid
    frontend new-$chapter
    not is_filtered "$(link_of new-$chapter)"
    [ "$(reaches my-pod-1 "$(service_ip)")" = backend ]
    not reaches other "$(service_ip)"
    not reaches new-$chapter "$(service_ip)"
    eventually in_pod new-$chapter ping -c1 -W5 "$(ip_of my-pod-1)"
    eventually in_pod backend ping -c1 -W5 "$(ip_of new-$chapter)"
  done
  # They end as any other pod does.
  is_filtered "$link"
  kubectl delete pod my-pod-2 --now
  eventually leases_are_the_pods
  not ip link show "$link"

  kubectl delete networkpolicy allow-frontend-to-backend
  installed
  eventually reaches other "$(service_ip)"
  identity_of my-pod-1
  for gone in my-pod-2 new-ch2 new-ch1; do not identity_of $gone; done
  stop_pings
  loss_is 0 to-backend
}

@test "at each moment of an installation there is a whole plugin" {
  installed
  for _ in {1..3}; do
    node/install ch2 "$PLUGIN_CH2"
    node/install ch3 "$PLUGIN_CH3"
  done 3>&- &
  while kill -0 $!; do
    CNI_COMMAND=VERSION /opt/cni/bin/ebpfcni <"$CONFIGURATION" | grep supportedVersions
  done
  wait $!
}
