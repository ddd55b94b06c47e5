# The talk's first chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016  # commands are shown before they are expanded

CONF=chapters/ch1-basic-cni/10-ebpfcni.conf
title 'Chapter 1: a CNI plugin is a program'

say 'A node after kubeadm init: no CNI plugin. It is a fake one, made of namespaces.'
run 'lab up none'
run 'lab nodes -o wide'
expect 'NotReady' 'cni plugin not initialized'

say 'A pod can be asked for, but nobody can give it a network.'
run 'lab pod run my-pod'
run 'lab pods'
expect 'my-pod .* Pending'

say 'The plugin is one program, in Rust. We put it where the runtime will look.'
run 'lab node-exec -- cp $PLUGIN /opt/cni/bin/ebpfcni'
run 'CNI_COMMAND=VERSION $PLUGIN </dev/null'
expect '"1.0.0"'

say 'What the runtime does, by hand: environment and JSON in …'
run "cat $CONF"
run 'lab node-exec -- ip netns add by-hand'
run "lab node-exec -- env CNI_COMMAND=ADD CNI_CONTAINERID=abcd1234 CNI_NETNS=/var/run/netns/by-hand CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin /opt/cni/bin/ebpfcni <$CONF"
say '… and JSON out. The namespace has an interface now:'
expect '"address": "10.13.0.2/24"'
run 'lab node-exec -- ip -n by-hand -br addr'
expect 'eth0.*10.13.0.2/24'

say 'DEL takes it away again. It prints nothing: that is success.'
run "lab node-exec -- env CNI_COMMAND=DEL CNI_CONTAINERID=abcd1234 CNI_NETNS=/var/run/netns/by-hand CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin /opt/cni/bin/ebpfcni <$CONF"
run 'lab node-exec -- ip -n by-hand -br addr'
expect_not eth0
run 'lab node-exec -- ip netns del by-hand'

say 'Now the configuration. From here on the runtime calls the plugin.'
run "lab node-exec -- cp $CONF /etc/cni/net.d/"
run 'lab nodes'
expect 'demo-ch1 +Ready'
run 'lab pods'
expect 'my-pod +1/1 +Running .*10\.13\.0\.'

say 'A second pod: another address, on the same bridge.'
run 'lab pod run my-pod-2'
run 'lab pods'
expect 'my-pod-2 +1/1 +Running .*10\.13\.0\.'
a=$(ip_of my-pod) b=$(ip_of my-pod-2)

say 'Pod to pod, pod to node, node to pod.'
run "lab exec my-pod -- ping -c1 -W10 $b"
expect ' 0% packet loss'
run 'lab exec my-pod -- ping -c1 -W10 10.13.0.1'
expect ' 0% packet loss'
run "lab node-exec -- ping -c1 -W10 $a"
expect ' 0% packet loss'

say 'The view from the node: a bridge with the gateway address, and a veth for each pod on it.'
run 'lab node-exec -- ip -br addr show bridge0'
expect '10.13.0.1/24'
run 'lab node-exec -- ip link show type veth'
expect 'alias default/my-pod' 'alias default/my-pod-2'
run 'lab node-exec -- bridge link'
expect 'master bridge0 state forwarding'
run 'lab exec my-pod -- ip route'
expect 'default via 10.13.0.1'

say 'Who has which address is a directory: one file a lease.'
run 'lab node-exec -- ls /run/ebpfcni/ebpfcni'
expect "$a@veth" "$b@veth"

say 'The pods go, and nothing of them stays.'
run 'lab pod rm my-pod my-pod-2'
run 'lab node-exec -- ip -br link'
expect_not veth
run 'lab node-exec -- ls /run/ebpfcni/ebpfcni'
expect_not @
