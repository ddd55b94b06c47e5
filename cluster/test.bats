# scripts/cluster leaves the machine as it was, whatever happens to it. Run by scripts/test --node;
# ends the cluster's node if there is one.

processes() {
  ps -eo args
  lsns -rno NS,TYPE
}

# All else that a node could leave: mounts, cgroups, links, routes, rules, settings, files.
state() {
  findmnt -rno TARGET,FSTYPE
  find /sys/fs/cgroup -type d | sort
  ip -o link show
  ip route show table all
  nft list ruleset
  sysctl -a --pattern '^(kernel|net|vm)\.' 2>/dev/null | grep -v '^kernel.random\|^kernel.ns_last_pid'
  find /etc /opt /usr /run /var/lib /var/log /root /sys/fs/bpf -xdev -path '/root/.*' -prune -o -newer "$STAMP" ! -type d -print
  # Programs and images stay: they cost minutes.
  find "${CARGO_TARGET_DIR:-target}/cluster" -path '*/programs' -prune -o ! -name images.tar -print | sort
}

setup() {
  cd "$BATS_TEST_DIRNAME/.." || return
  scripts/cluster down
  STAMP=$BATS_TEST_TMPDIR/stamp
  touch "$STAMP"
  state >"$BATS_TEST_TMPDIR/before"
  processes | sort >"$BATS_TEST_TMPDIR/processes"
}

teardown() { scripts/cluster down; }

# New processes: those that end do so for reasons of their own, on a machine that is in use.
left() {
  state | diff "$BATS_TEST_TMPDIR/before" - || true
  processes | sort | comm -13 "$BATS_TEST_TMPDIR/processes" - | grep -v 'bats\|sort\|ps -eo\|lsns\|kworker' || true
}

# Who has just been killed needs a moment to go; and what others do on the machine passes.
left_as_it_was() {
  local deadline=$((SECONDS + 30)) found
  while found=$(left) && [ "$found" ]; do
    if [ $SECONDS -gt $deadline ]; then
      echo "$found"
      return 1
    fi
    sleep 0.2
  done
}

@test "down leaves the machine as it was, with pods running" {
  scripts/cluster up
  scripts/cluster kubectl run my-pod --image=busybox:1.35 -- sleep infinity
  scripts/cluster kubectl wait --for=condition=Ready --timeout=15m pod/my-pod
  scripts/cluster down
  left_as_it_was
}

@test "an up that is interrupted anywhere can be repeated, and undone" {
  for moment in 'Starting the node' 'Importing images' '\[certs\]' '\[wait-control-plane\]' '\[addons\]'; do
    setsid scripts/cluster up >"$BATS_TEST_TMPDIR/up" 2>&1 3>&- &
    until grep -q "$moment" "$BATS_TEST_TMPDIR/up"; do kill -0 $!; done
    kill -KILL -- -$!
    wait $! || true
    [ "$moment" != '\[wait-control-plane\]' ] || scripts/cluster down
  done
  scripts/cluster up
  scripts/cluster up # twice is harmless
  scripts/cluster kubectl get nodes | grep -w Ready
  scripts/cluster down
  left_as_it_was
}

@test "of two at once, one says that the other is at work" {
  scripts/cluster up >"$BATS_TEST_TMPDIR/up" 2>&1 3>&- &
  until grep -q Building "$BATS_TEST_TMPDIR/up"; do kill -0 $!; done
  run scripts/cluster up
  wait $!
  [ "$status" = 1 ]
  [ "$output" = 'cluster: another scripts/cluster is at work' ]
}
