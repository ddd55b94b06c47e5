# The policy of Kubernetes' documentation as a story. Told by scripts/demo, which has the verbs.
# shellcheck shell=bash disable=SC2016,SC2154  # commands are shown before they are expanded

CH4=chapters/ch4-full-policy
POLICY=$CH4/manifests/test-network-policy.yaml
title 'Chapter 4: the whole NetworkPolicy' '第四章：完整的 NetworkPolicy'

# listens PORT WHERE…: a server was started there in the background; it may take a moment.
listens() {
  local deadline=$((SECONDS + 20))
  until lab "${@:2}" ss -Hltn | grep -q ":$1 "; do [ "$SECONDS" -lt "$deadline" ] || die "nobody listens at $1"; done
}
# from NAME: a command of a host outside.
from() { echo "lab node-exec -- ip netns exec $1 busybox nc -w3"; }

say 'A database that answers by two ports, a frontend, somebody else, and a name server.' \
  '一個在兩個 port 提供服務的資料庫、一個 frontend、一個 other，還有一台 DNS。'
run 'lab up ch4' \
  'lab create namespace myproject --labels project=myproject' \
  'lab pod run db --labels role=db' \
  'lab pod run frontend --labels role=frontend' \
  'lab pod run other --labels role=other' \
  'lab pod run job --namespace myproject --labels app=job' \
  'lab pod run coredns --namespace kube-system --labels k8s-app=kube-dns'
expect 'demo-ch4 created' 'pod/coredns created'
db=$(ip_of db)
dns=$(lab exec --namespace kube-system coredns -- ip -4 -o addr show eth0 | sed 's/.*inet \([0-9.]*\).*/\1/')
run 'lab exec db -- busybox nc -ll -p 6379 -e echo the data &' \
  'lab exec db -- busybox nc -ll -p 8080 -e echo the secret &'
listens 6379 exec db --
listens 8080 exec db --

say 'Outside: partner (172.17.0.5), guest (172.17.1.5), billing (10.0.0.5). No policy yet: all come in.' \
  '外面有 partner（172.17.0.5）、guest（172.17.1.5）、billing（10.0.0.5）。還沒有政策，誰都連得進來。'
run "lab node-exec -- sh $CH4/outside.sh $dns" \
  "$(from guest) $db 8080"
expect 'the secret'

say 'The example of Kubernetes'\'' documentation, from the top. So far: who, and by which port.' \
  'Kubernetes 文件裡的範例，從頭讀起。目前只寫了：誰、用哪個 port。'
run "head -n19 $POLICY | tail -n12" "head -n19 $POLICY | lab apply -f -"
expect 'role: frontend' 'port: 6379' 'test-network-policy created'
run "lab exec frontend -- busybox nc -w3 $db 6379"
expect 'the data'
fails "lab exec frontend -- busybox nc -w1 $db 8080"
expect 'timed out'

say 'The pair says who, a set says by which ports: one entry in policy_map, one number in port_map.' \
  '兩個身分決定是誰，集合決定哪些 port：policy_map 一筆，裡面的號碼指向 port_map 的集合。'
run 'lab ebpf-agent bpf policy get db | cut -c1-20,42-75'
expect 'role=frontend +6379/TCP'
if course; then
  run "lab node-exec -- bpftool map dump pinned /sys/fs/bpf/tc/globals/port_map |
  jq -c '.[].key'"
  expect '"proto":6'
fi

say 'Why not by 8080? And a ping?' '為什麼 8080 不行？ping 呢？'
run 'lab ebpf-agent explain frontend db:8080'
expect 'its port must be 6379/TCP, and is 8080/TCP'
if course; then
  run 'lab ebpf-agent explain frontend db/ICMP'
  expect 'ICMP and its like have none'

  say 'A few lines more: all pods of the namespaces that are called myproject.' \
    '再多讀三行：標籤是 project=myproject 的命名空間裡的所有 Pod。'
  run "head -n22 $POLICY | lab apply -f -" \
    "lab exec --namespace myproject job -- busybox nc -w3 $db 6379"
  expect 'the data'
fi

say 'Four more: from where. A block of addresses, with an exception, for those that are no pods.' \
  '再四行：從哪裡來。一段位址，扣掉例外；這是給不是 Pod 的來源用的。'
run "head -n26 $POLICY | tail -n4" "head -n26 $POLICY | lab apply -f -" \
  "$(from partner) $db 6379"
expect 'cidr: 172.17.0.0/16' 'the data'
fails "$(from guest) $db 6379"
expect 'timed out'
run 'lab ebpf-agent bpf policy get db | cut -c1-20,42-80'
expect 'cidr:172.17.0.0/16 +6379/TCP' 'Except .*cidr:172.17.1.0/24'
if course; then
  run 'lab ebpf-agent explain 172.17.1.5 db:6379'
  expect 'is in the except 172.17.1.0/24'
fi

say 'The rest: on the way out. Only to billing'\''s network, only by 5978.' \
  '剩下的是往外的方向：只能到 billing 的網段，只能用 5978。'
run "sed -n '/egress:/,/cidr/p' $POLICY" "lab apply -f $POLICY" \
  'lab node-exec -- ip netns exec billing busybox nc -ll -p 5978 -e echo the bill &'
expect 'egress:' 'port: 5978'
listens 5978 node-exec -- ip netns exec billing
run 'lab exec db -- busybox nc -w3 10.0.0.5 5978'
expect 'the bill'
fails "lab exec db -- busybox nc -w1 $(ip_of other) 80"
expect 'timed out'

say 'A Service: 10.96.0.20, port 80. What counts is what is behind it, and its port: 5978.' \
  'Service 是 10.96.0.20 的 port 80。政策看的是背後的位址和它的 port：5978。'
run 'lab exec db -- busybox nc -w3 10.96.0.20 80'
expect 'the bill'
run "lab ebpf-agent bpf ct list | grep -o '10.96.0.20.*'"
expect '10.96.0.20:80 → 10.0.0.5:5978'

say 'What everybody forgets: names. The name server is a Service, too, and now it is denied.' \
  '最常忘記的是 DNS。DNS 也是 Service，現在連不到了。'
run "lab exec --namespace kube-system coredns -- busybox nc -ll -p 53 -e echo an answer &"
listens 53 exec --namespace kube-system coredns --
fails 'lab exec db -- busybox nc -w1 10.96.0.10 53'
expect 'timed out'
run 'lab ebpf-agent explain db coredns:53/UDP'
expect 'db is isolated for egress'
run "lab apply -f $CH4/manifests/allow-dns.yaml" 'lab exec db -- busybox nc -w3 10.96.0.10 53' \
  "lab exec db -- bash -c 'echo a question >/dev/udp/10.96.0.10/53'"
expect 'an answer'

say 'All of it, in the kernel: who, by which ports, from where.' \
  '整份政策在核心裡的樣子：誰、哪些 port、從哪裡來。'
run 'lab ebpf-agent bpf policy get db | cut -c1-20,42-83'
expect 'Allow +Egress +[0-9]+ +k8s-app=kube-dns +53/TCP,53/UDP' \
  'Allow +Egress +- +cidr:10.0.0.0/24 +5978/TCP'

if course; then
  say 'The policies go, and with them the isolation.' '政策刪掉，隔離也跟著解除。'
  run "lab delete -f $POLICY -f $CH4/manifests/allow-dns.yaml" "$(from guest) $db 8080"
  expect 'the secret'

  say 'A name for a port: two pods with one label, and the number that each means by http.' \
    'port 也可以用名稱：兩個 Pod 標籤相同，但 http 各是不同的號碼。'
  run "lab apply -f $CH4/manifests/named-port.yaml" \
    "lab ebpf-agent endpoint list | grep app=web | cut -c12-36,68-" \
    'lab ebpf-agent explain other web-1' 'lab ebpf-agent explain other web-2'
  expect 'allowed by 80/TCP' 'allowed by 8080/TCP'
fi
