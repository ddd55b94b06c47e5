# The talk's third chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016,SC2154  # commands are shown before they are expanded

POLICY=chapters/ch4-full-policy/manifests/allow-frontend-to-backend.yaml
MAPS=/sys/fs/bpf/tc/globals
title 'Chapter 3: identities decide' '第三章：由身分決定'

say 'A node with chapter 3. Three pods as on the slide, a backend, and somebody else.' \
  '在節點裝上第三章，跑投影片上的三個 Pod，再加一個 backend 和一個 other。'
run 'lab up ch3' \
  'lab pod run my-pod-1 --labels app=frontend' \
  'lab pod run my-pod-2 --labels app=frontend' \
  'lab pod run my-pod-3 --labels app=frontend,env=staging' \
  'lab pod run backend --labels app=backend' \
  'lab pod run other --labels app=other' \
  'lab ebpf-agent endpoint list | cut -c12-30,68-'
expect 'demo-ch3 created'
identity_of() { awk -v pod="default/$1" '$1 == pod {print $2}' <<<"$output"; }
[ "$(identity_of my-pod-1)" = "$(identity_of my-pod-2)" ] || die 'my-pod-1 and my-pod-2 differ'
[ "$(identity_of my-pod-1)" != "$(identity_of my-pod-3)" ] || die 'my-pod-3 is the same'
expect 'app=frontend,env=staging'
backend=$(ip_of backend)

say 'Same labels, same identity; my-pod-3 has a label more. No policy yet: all reach the backend.' \
  '標籤相同，身分就相同；my-pod-3 多一個標籤，是另一個身分。還沒有政策，大家都連得到 backend。'
if course; then
  run "lab exec my-pod-1 -- ping -c1 -W10 $backend"
  expect ' 0% packet loss'
fi
run "lab exec other -- ping -c1 -W10 $backend"
expect ' 0% packet loss'
if course; then
  say 'In the map: any source (0) may talk to the backend.' \
    '在 map 裡：來源不限（0），都允許連到 backend。'
  run 'lab ebpf-agent bpf policy get backend'
  expect 'Allow +0 +any'
fi

say 'The policy of the talk: backend takes packets from app=frontend only. Two entries in the map.' \
  '套用演講裡的政策：backend 只允許 app=frontend 連入。寫進 map 是兩筆。'
course && run "cat $POLICY"
run "lab apply -f $POLICY" 'lab ebpf-agent bpf policy get backend'
expect 'allow-frontend-to-backend created'
expect 'Allow +[0-9]+ +app=frontend +' 'app=frontend,env=staging'
expect_not ' any '

say 'my-pod-3 is a frontend, too, and gets through. The other one is not: its packets are dropped.' 'my-pod-3 也是 frontend，連得到；other 不是，封包被丟掉。'
if course; then
  run "lab exec my-pod-1 -- ping -c1 -W10 $backend"
  expect ' 0% packet loss'
fi
run "lab exec my-pod-3 -- ping -c1 -W10 $backend"
expect ' 0% packet loss'

if course; then
  say 'How early is a drop? We count what comes as far as the bridge.' \
    '多早就丟掉？數一數有幾個封包走得到 bridge。'
  other=$(ip_of other)
  run "lab node-exec -- nft 'add table bridge early; add chain bridge early prerouting { type filter hook prerouting priority 0; }; add rule bridge early prerouting ip saddr $other counter'"
fi
fails "lab exec other -- ping -c3 -i0.2 -W1 $backend"
expect ' 100% packet loss'
if course; then
  run 'lab node-exec -- nft list table bridge early'
  say 'Not one. TC has dropped them on the veth, before there was a route, a rule or a bridge:' \
    '一個也沒有。封包在 veth 上就被 TC 丟了，根本輪不到路由、規則或 bridge：'
  expect 'packets 0 bytes 0'
  run "lab node-exec -- tc -s qdisc show dev $(veth_of other) clsact"
  expect 'dropped [1-9]'
fi

say 'Why? The agent knows, and says which rule came nearest.' \
  '為什麼被拒絕？agent 知道，也會指出差一點就符合的是哪條規則。'
run 'lab ebpf-agent explain other backend'
expect 'isolated by default/allow-frontend-to-backend' 'nearest miss: .* app must be frontend'

if course; then
  say 'The node itself still reaches every pod: kubelet probes them.' \
    '節點自己還是連得到每個 Pod，因為 kubelet 要做 probe。'
  run "lab node-exec -- ping -c1 -W10 $backend"
  expect ' 0% packet loss'
fi

say 'The same map without our names, by bpftool: its last three entries, and how many more.' \
  '同一個 map，改用演講裡的 bpftool 看：最後三筆，其餘只數有幾筆。'
course && run "lab node-exec -- bpftool map dump pinned $MAPS/endpoint_map |
  jq -rc 'sort | .[-3:][], \"and \(length - 3) more\"'" && expect '"identity"'
run "lab node-exec -- bpftool map dump pinned $MAPS/policy_map |
  jq -rc 'sort | map(.key + (.value | {action, packets})) | .[-3:][], \"and \(length - 3) more\"'"
expect '"src_id":256,"dst_id":258' '"packets"' 'and [0-9]+ more'

say 'A label decides, not an address: the other one becomes a frontend.' \
  '決定的是標籤，不是位址：把 other 的標籤改成 frontend，馬上就通。'
run 'lab label pod other app=frontend' "lab exec other -- ping -c1 -W10 $backend"
expect ' 0% packet loss'

if course; then
  say 'Twenty pods more, ten frontends and ten backends. Still one entry for each pair of identities.' \
    '再加二十個 Pod，frontend 和 backend 各十個。map 裡還是一對身分一筆。'
  run 'for i in {1..10}; do lab pod run frontend-$i --labels app=frontend; lab pod run backend-$i --labels app=backend; done | tail -n2'
  run 'lab ebpf-agent bpf policy get backend-10'
  expect 'Allow +[0-9]+ +app=frontend +' 'app=frontend,env=staging'
  say 'iptables takes a rule for each pair of addresses, and a packet walks them one by one: O(N×M).' \
    '換成 iptables，一對位址就要一條規則，封包得一條一條比對：O(N×M)。'
  run "lab ebpf-agent endpoint list | awk '/app=frontend/ {f[\$6]} /app=backend/ {b[\$6]} END {for (s in f) for (d in b) if (++n <= 3) print \"-A FORWARD -s\", s, \"-d\", d, \"-j ACCEPT\"; print \"...\", n, \"rules\"}'"
  expect '-A FORWARD -s 10[0-9.]+ -d 10[0-9.]+ -j ACCEPT' ' 154 rules'

  say 'The policy goes, and with it the isolation.' '政策刪掉，隔離也跟著解除。'
  run "lab delete -f $POLICY" 'lab ebpf-agent bpf policy get backend'
  expect 'allow-frontend-to-backend.* deleted'
  expect 'Allow +0 +any'
fi
