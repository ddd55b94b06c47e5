#!/bin/sh
# The talk's plugin as a script: the same steps with `ip`, and no more care than on the slides.
set -e
conf=$(cat)
prefix=10.15.0 host=veth$(printf %s "$CNI_CONTAINERID" | cut -c1-8)
if [ "$CNI_COMMAND" = DEL ]; then
  ip link del "$host"
  exit
fi
ns=$(basename "$CNI_NETNS")
ip link add talk0 type bridge 2>/dev/null || true
ip link set talk0 up
ip addr add "$prefix.1/24" dev talk0 2>/dev/null || true
n=$(($(od -An -N1 -tu1 /dev/urandom) % 252 + 2))
ip link add "$CNI_IFNAME" type veth peer name "$host"
ip link set "$host" up
ip link set "$host" master talk0
ip link set "$CNI_IFNAME" netns "$ns"
mac=02:$(od -An -N5 -tx1 /dev/urandom | sed 's/^ //; s/ /:/g')
ip -n "$ns" link set dev "$CNI_IFNAME" address "$mac"
ip -n "$ns" link set "$CNI_IFNAME" up
ip -n "$ns" addr add "$prefix.$n/24" dev "$CNI_IFNAME"
ip -n "$ns" route add default via "$prefix.1"
printf '{"cniVersion":"1.0.0","ips":[{"address":"%s.%s/24"}],"conf":%s}\n' "$prefix" "$n" "$conf"
