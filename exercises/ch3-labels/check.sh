# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

identity() { lab ebpf-agent endpoint list | awk -v pod="default/$1" '$2 == pod {print $5}'; }
same() {
  lab ebpf-agent endpoint list
  [ -n "$(identity "$1")" ] && [ "$(identity "$1")" = "$(identity "$2")" ]
}
differ() { [ -n "$(identity "$1")" ] && ! same "$1" "$2"; }

configure
pod old app=web,ci.example.com/commit=4f2c1aa
pod new app=web,ci.example.com/commit=90b7e13
pod other app=web,ci.example.community/team=red
expect 'pods that differ only in their commit have one identity' soon same old new
expect 'a label of ci.example.community/ counts as before' soon differ new other
lab apply -f - >/dev/null <<'YAML'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: only-the-new-one }
spec:
  podSelector: { matchLabels: { ci.example.community/team: red } }
  ingress: [{ from: [{ podSelector: { matchLabels: { ci.example.com/commit: 90b7e13 } } }] }]
YAML
expect 'when a policy asks for the commit, they have two' soon differ old new
expect 'the new one is let in' reaches new "$(ip_of other)"
expect_not 'the old one is not' ping_from old "$(ip_of other)"
lab delete networkpolicy only-the-new-one >/dev/null
expect 'without the policy they have one again' soon same old new
