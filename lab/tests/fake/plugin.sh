#!/bin/sh
# A CNI plugin that writes down how it is called. Its answer to COMMAND is what the script
# /run/fake/NAME.COMMAND does, if there is one.
set -e
cd /run/fake
name=${0##*/}
# A directory for each call; `mkdir` counts on if another call came first.
number=0
until mkdir "calls/$(printf %03d $number)" 2>/dev/null; do number=$((number + 1)); done
call=calls/$(printf %03d $number)
echo "$name" >"$call/plugin"
tr '\0' '\n' <"/proc/$$/environ" >"$call/environment"
cat >"$call/stdin"
if [ -e "$name.$CNI_COMMAND" ]; then
  # shellcheck source=/dev/null
  . "./$name.$CNI_COMMAND"
  exit
fi
[ "$CNI_COMMAND" != ADD ] ||
  echo "{ \"cniVersion\": \"1.1.0\", \"from\": \"$name\", \"ips\": [{ \"address\": \"10.0.0.2/24\" }] }"
