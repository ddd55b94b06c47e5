# What a chapter's demo.sh says. Sourced by scripts/demo, which knows chapter, cut, lang and pace.
# shellcheck shell=bash disable=SC2154  # the script that sources this sets them

steps=0 output=

# course && …, if course; then …: what the talk has no time for.
course() { [ "$cut" = course ]; }

# in_language ENGLISH CHINESE
in_language() { if [ "$lang" = en ]; then echo "$1"; else echo "$2"; fi; }

# slowly MILLISECONDS: time to read, unless somebody presses Enter or nobody looks.
slowly() { [ "$pace" != normal ] || sleep "$1e-3"; }

# Bold and reverse are readable on whatever background the terminal has. Colours are not: cyan on
# white has a contrast of 2.
title() { printf '\n\e[1;4m%s\e[0m\n' "$(in_language "$@")"; }

# say ENGLISH CHINESE: what is about to happen.
say() {
  local text
  text=$(in_language "$@")
  slowly 1000
  printf '\n\e[7m# %s \e[0m\n' "$text"
  slowly $(($(LC_ALL=C.UTF-8 wc -L <<<"$text") * 50)) # a Chinese character is two columns wide
}

# run COMMAND…: shows commands, as one could type them, and what each prints.
run() {
  local command shown status wait=$pace
  output=
  for command; do
    printf '\e[1m$ %s\e[0m ' "$command"
    case $wait in pause) read -r </dev/tty ;; normal) echo && sleep 0.7 ;; fast) echo ;; esac
    [ "$wait" = normal ] || wait=fast # one Enter for all
    status=0 && set +o pipefail       # as in an interactive shell
    eval "$command" >"$log" 2>&1 || status=$?
    set -o pipefail && shown=$(<"$log")
    [ -z "$shown" ] || printf '%s\n' "$shown"
    output+=$shown$'\n'
    [ "$status" = "${wanted:-0}" ] || die "status $status instead of ${wanted:-0}: $command"
  done
}

# fails COMMAND…: the same with what must not work.
fails() { local wanted=1 && run "$@"; }

# expect PATTERN…: the output of the last `run` must show it, or the story is not true.
expect() {
  for pattern; do
    grep -qE -- "$pattern" <<<"$output" || die "the output above should show: $pattern"
  done
  steps=$((steps + 1))
}

# expect_not PATTERN…: and this it must not show.
expect_not() {
  for pattern; do
    ! grep -qE -- "$pattern" <<<"$output" || die "the output above should not show: $pattern"
  done
  steps=$((steps + 1))
}

# ip_of POD: a pod's address. veth_of POD: the host end of its veth pair.
ip_of() { lab exec "$1" -- ip -4 -o addr show eth0 | sed 's/.*inet \([0-9.]*\).*/\1/'; }
veth_of() {
  lab node-exec -- ip -j link show type veth |
    jq -r --arg alias "default/$1" '.[] | select(.ifalias == $alias).ifname'
}

alias="alias lab='./scripts/lab --node demo-$chapter'"
if course; then
  say "lab is short for ./scripts/lab: $alias" "lab 是 ./scripts/lab 的別名：$alias"
fi
