# The talk's third chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016,SC2154  # commands are shown before they are expanded

POLICY=chapters/ch3-identity-policy/manifests/allow-frontend-to-backend.yaml
MAPS=/sys/fs/bpf/tc/globals
title 'Chapter 3: identities decide'

say 'A node with chapter 3: the plugin, and an agent that keeps the maps.'
run 'lab up ch3'
run 'lab nodes'
expect 'Ready'

say 'Three pods as on the slide. Guess: does my-pod-3, with one label more, have the identity of the other two?'
run 'lab pod run my-pod-1 --labels app=frontend'
run 'lab pod run my-pod-2 --labels app=frontend'
run 'lab pod run my-pod-3 --labels app=frontend,env=staging'
run 'lab ebpf-agent endpoint list'
identity_of() { awk -v pod="default/$1" '$2 == pod {print $5}' <<<"$output"; }
[ "$(identity_of my-pod-1)" = "$(identity_of my-pod-2)" ] || die 'my-pod-1 and my-pod-2 differ'
[ "$(identity_of my-pod-1)" != "$(identity_of my-pod-3)" ] || die 'my-pod-3 is the same'
say 'It has another: some policy might ask for env. An identity is all that policies can ask about.'
expect 'app=frontend,env=staging'

say 'A backend, and somebody else. No policy yet: all reach the backend.'
run 'lab pod run backend --labels app=backend'
run 'lab pod run other --labels app=other'
backend=$(ip_of backend)
for pod in my-pod-1 other; do
  run "lab exec $pod -- ping -c1 -W10 $backend"
  expect ' 0% packet loss'
done
say 'In the map: whoever it is (0) may talk to each identity.'
run 'lab ebpf-agent bpf policy get backend'
expect 'Allow +0 +any'

say 'The policy of the talk.'
run "cat $POLICY"
run "lab apply -f $POLICY"
expect 'allow-frontend-to-backend created'
wait_for 'lab ebpf-agent bpf policy get backend | grep app=frontend'
run 'lab ebpf-agent bpf policy get backend'
expect 'Allow +[0-9]+ +app=frontend +' 'app=frontend,env=staging'
expect_not ' any '

say 'my-pod-1 and my-pod-3 are frontends. The other one is not.'
for pod in my-pod-1 my-pod-3; do
  run "lab exec $pod -- ping -c1 -W10 $backend"
  expect ' 0% packet loss'
done

say 'How early is a drop? We count what comes as far as the bridge.'
other=$(ip_of other)
veth=$(lab node-exec -- sh -c "ip -o link show type veth | grep -w 'default/other' | head -n1" | sed 's/^[0-9]*: \([^@]*\)@.*/\1/p' | head -n1)
run "lab node-exec -- nft 'add table bridge early; add chain bridge early prerouting { type filter hook prerouting priority 0; }; add rule bridge early prerouting ip saddr $other counter'"
run "lab exec other -- ping -c3 -i0.2 -W1 $backend || true"
expect ' 100% packet loss'
run 'lab node-exec -- nft list table bridge early'
say 'Not one. TC has dropped them on the veth, before there was a route, a rule or a bridge:'
expect 'packets 0 bytes 0'
run "lab node-exec -- tc -s qdisc show dev $veth clsact"
expect 'dropped [1-9]'

say 'Why? The agent knows, and says which rule came nearest.'
run 'lab ebpf-agent explain other backend'
expect 'isolated by default/allow-frontend-to-backend' 'nearest miss: .* app must be frontend'

say 'The node itself still reaches every pod: kubelet probes them.'
run "lab node-exec -- ping -c1 -W10 $backend"
expect ' 0% packet loss'

say 'The same maps without our names, as in the talk.'
run "lab node-exec -- bpftool map dump pinned $MAPS/endpoint_map"
expect '"identity"'
run "lab node-exec -- bpftool map dump pinned $MAPS/policy_map"
expect '"src_id"' '"packets"'

say 'A label decides, not an address: the other one becomes a frontend.'
run 'lab label pod other app=frontend'
wait_for "lab ebpf-agent endpoint list | grep -E 'default/other .*app=frontend'"
run "lab exec other -- ping -c1 -W10 $backend"
expect ' 0% packet loss'

say 'Twenty pods more, ten frontends and ten backends. The map: still one entry for each pair of identities.'
run 'for i in {1..10}; do lab pod run frontend-$i --labels app=frontend; lab pod run backend-$i --labels app=backend; done | tail -n2'
run 'lab ebpf-agent bpf policy get backend-10'
expect 'Allow +[0-9]+ +app=frontend +' 'app=frontend,env=staging'
say 'In iptables it is one rule for each pair of addresses, and a packet walks them one by one: O(N×M).'
run "lab ebpf-agent endpoint list | awk '/app=frontend/ {f[\$6]} /app=backend/ {b[\$6]} END {for (s in f) for (d in b) if (++n <= 3) print \"-A FORWARD -s\", s, \"-d\", d, \"-j ACCEPT\"; print \"...\", n, \"rules\"}'"
expect '-A FORWARD -s 10[0-9.]+ -d 10[0-9.]+ -j ACCEPT' ' 154 rules'

say 'The policy goes, and with it the isolation.'
run "lab delete -f $POLICY"
expect 'allow-frontend-to-backend.* deleted'
wait_for 'lab ebpf-agent bpf policy get backend | grep any'
run 'lab ebpf-agent bpf policy get backend'
expect 'Allow +0 +any'
