# Asking an API server that may be too busy to answer, or be starting. Sourced.
# shellcheck shell=bash

# In seconds: how long anything may take. An emulated machine needs tens of minutes.
PATIENCE=${PATIENCE:-1800}

api_server_answers() { command kubectl get --raw=/livez --request-timeout=30s >/dev/null 2>&1; }

# kubectl …: upstream's; but while the API server does not even say that it lives, nothing has been
# said: then it is asked again.
kubectl() {
  local deadline=$((SECONDS + PATIENCE)) argument input status
  for argument; do
    [ "$argument" != - ] || input=$(cat) # stdin can be read once only
  done
  while :; do
    status=0
    if [ -n "${input-}" ]; then
      command kubectl "$@" <<<"$input" || status=$?
    else
      command kubectl "$@" || status=$?
    fi
    [ $status != 0 ] || return 0
    ! api_server_answers || return $status
    until api_server_answers; do
      [ $SECONDS -lt $deadline ] || return $status
      sleep 2
    done
  done
}

# patiently COMMAND…: for what may be done twice. It is done until it succeeds; what fails five times
# though the API server answers is wrong.
patiently() {
  local deadline=$((SECONDS + PATIENCE)) failures=0
  until "$@"; do
    if api_server_answers; then failures=$((failures + 1)); fi
    if [ $failures = 5 ] || [ $SECONDS -ge $deadline ]; then
      echo "gave up: $*" >&2
      return 1
    fi
    sleep 5
  done
}
