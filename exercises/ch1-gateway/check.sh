# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

configure '"podcidr": "10.13.0.0/29", "gateway": "10.13.0.4"'
for pod in a b c d e; do pod $pod; done
expect "a's default route leads to 10.13.0.4" shows 'via 10\.13\.0\.4 ' lab exec a -- ip route
expect 'which is the node' reaches a 10.13.0.4
expect 'the first address is a pod'\''s' shows ' 10\.13\.0\.1$' lab pods
expect 'so is the last one' shows ' 10\.13\.0\.6$' lab pods
expect_not 'the gateway'\''s is no pod'\''s' shows ' 10\.13\.0\.4$' lab pods
expect 'six addresses are five pods' shows '"code": 11' call ADD f

configure '"podcidr": "10.14.0.0/24", "name": "other", "bridge": "bridge1"'
expect 'without "gateway", the first pod has the second address' shows '"10\.14\.0\.2/24"' call ADD g
for wrong in 10.14.1.1 10.14.0.0 10.14.0.255; do
  configure '"podcidr": "10.14.0.0/24", "gateway": "'$wrong'"'
  expect "a gateway $wrong for 10.14.0.0/24 is refused" shows '"code": 7' call ADD h
done
