#!/bin/sh
# An agent that writes down how it is started and what it finds then. Before it is READY it does
# what the script /run/fake/agent.start says, if there is one.
set -e
if [ "$1" != run ]; then
  echo "asked: $*"
  exit 7
fi
from=$(pwd -P)
mkdir -p /run/fake/agent
cd /run/fake/agent
echo "$@" >>starts
echo "$from" >from
ls -A "$3" /etc/cni/net.d /opt/cni/bin >found
trap 'echo TERM >>ends; kill $!; exit' TERM
echo "starts" >&2
# shellcheck source=/dev/null
[ ! -e ../agent.start ] || . ../agent.start
echo READY
sleep infinity &
wait
