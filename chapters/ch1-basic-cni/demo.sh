# The talk's first chapter as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016  # commands are shown before they are expanded

CONF=chapters/ch1-basic-cni/10-ebpfcni.conf
CALL='CNI_CONTAINERID=abcd1234 CNI_NETNS=/var/run/netns/by-hand CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin /opt/cni/bin/ebpfcni'
title 'Chapter 1: a CNI plugin is a program' '第一章：CNI 外掛就是一支程式'

say 'A node after kubeadm init: no CNI plugin. It is a fake one, made of namespaces.' \
  'kubeadm init 剛跑完的節點，還沒裝 CNI 外掛。（這是用命名空間模擬的節點）'
run 'lab up none' 'lab nodes -o wide'
expect 'NotReady' 'cni plugin not initialized'

say 'A pod can be asked for, but nobody can give it a network.' \
  'Pod 建得出來，但沒有人能給它網路，只能停在 Pending。'
run 'lab pod run my-pod' 'lab pods'
expect 'my-pod .* Pending'

say 'The plugin is one program, in Rust. We put it where the runtime will look.' \
  '外掛就是一支用 Rust 寫的程式，放到容器執行環境會去找的目錄。'
run 'PLUGIN=$(lab build ch1)' 'lab node-exec -- cp $PLUGIN /opt/cni/bin/ebpfcni'

if course; then
  run 'CNI_COMMAND=VERSION $PLUGIN </dev/null'
  expect '"1.0.0"'

  say 'What the runtime does, by hand: environment and JSON in …' \
    '先手動做一次執行環境做的事：環境變數和 JSON 進去……'
  run "cat $CONF"
  run 'lab node-exec -- ip netns add by-hand'
  run "lab node-exec -- env CNI_COMMAND=ADD $CALL <$CONF"
  say '… and JSON out. The namespace has an interface now:' \
    '……JSON 出來。這個命名空間裡多了一個介面：'
  expect '"address": "10.13.0.2/24"'
  run 'lab node-exec -- ip -n by-hand -br addr'
  expect 'eth0.*10.13.0.2/24'

  say 'DEL takes it away again. It prints nothing: that is success.' \
    'DEL 再把它收回去。什麼都沒印，就代表成功。'
  run "lab node-exec -- env CNI_COMMAND=DEL $CALL <$CONF"
  run 'lab node-exec -- ip -n by-hand -br addr'
  expect_not eth0
  run 'lab node-exec -- ip netns del by-hand'
fi

say 'Now the configuration. From here on the runtime calls the plugin.' \
  '再放設定檔。從這一刻起，執行環境會呼叫我們的外掛。'
run "lab node-exec -- cp $CONF /etc/cni/net.d/"
run 'lab nodes'
expect 'demo-ch1 +Ready'
run 'lab pods'
expect 'my-pod +1/1 +Running .*10\.13\.0\.'

say 'A second pod: another address, on the same bridge.' \
  '第二個 Pod 拿到另一個位址，接在同一個 bridge 上。'
run 'lab pod run my-pod-2' 'lab pods'
expect 'my-pod-2 +1/1 +Running .*10\.13\.0\.'
a=$(ip_of my-pod) b=$(ip_of my-pod-2)

say 'Pod to pod.' 'Pod 對 Pod，ping 得到。'
run "lab exec my-pod -- ping -c1 -W10 $b"
expect ' 0% packet loss'

if course; then
  say 'Pod to node, node to pod.' 'Pod 到節點、節點到 Pod 也都通。'
  run 'lab exec my-pod -- ping -c1 -W10 10.13.0.1'
  expect ' 0% packet loss'
  run "lab node-exec -- ping -c1 -W10 $a"
  expect ' 0% packet loss'

  say 'The view from the node: a bridge with the gateway address, and a veth for each pod on it.' \
    '從節點看：一個 bridge，帶著 gateway 的位址；每個 Pod 一條 veth 接在上面。'
  run 'lab node-exec -- ip -br addr show bridge0'
  expect '10.13.0.1/24'
  run 'lab node-exec -- ip link show type veth'
  expect 'alias default/my-pod' 'alias default/my-pod-2'
  run 'lab node-exec -- bridge link'
  expect 'master bridge0 state forwarding'
  run 'lab exec my-pod -- ip route'
  expect 'default via 10.13.0.1'

  say 'Who has which address is a directory: one file a lease.' \
    '誰用了哪個位址，記在一個目錄裡：一份租約一個檔案。'
  run 'lab node-exec -- ls /run/ebpfcni/ebpfcni'
  expect "$a@veth" "$b@veth"

  say 'The pods go, and nothing of them stays.' 'Pod 刪掉，位址釋放，什麼都不留。'
  run 'lab pod rm my-pod my-pod-2'
  run 'lab node-exec -- ip -br link'
  expect_not veth
  run 'lab node-exec -- ls /run/ebpfcni/ebpfcni'
  expect_not @
fi
