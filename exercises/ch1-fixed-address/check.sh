# What holds when the exercise is solved. Told by scripts/exercise, see verbs.sh.
# shellcheck shell=bash

configure
expect 'a gets the address that it asks for' shows '"10\.13\.0\.77/24"' call ADD a CNI_ARGS='IgnoreUnknown=1;IP=10.13.0.77'
expect 'there is a lease for it' shows '10\.13\.0\.77@veth' lab node-exec -- ls /run/ebpfcni/ebpfcni
expect 'b does not get the same' shows '"code": 11' call ADD b CNI_ARGS='IP=10.13.0.77'
expect 'the error names it' shows '10\.13\.0\.77' call ADD b CNI_ARGS='IP=10.13.0.77'
expect_not 'nothing of b is left' lab node-exec -- ip -n b link show eth0
for wrong in 10.13.0.1 10.13.0.255 10.99.0.5 nonsense; do
  expect "an IP=$wrong is refused: error 4" shows '"code": 4' call ADD c CNI_ARGS="IP=$wrong"
done
expect 'who does not ask gets any address' shows '"10\.13\.0\.' call ADD d
expect 'a goes' call DEL a CNI_ARGS='IP=10.13.0.77'
expect 'and b gets its address' shows '"10\.13\.0\.77/24"' call ADD b CNI_ARGS='IP=10.13.0.77'
