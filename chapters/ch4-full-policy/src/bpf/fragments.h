/* Only the first fragment of a packet has its ports: the others follow it. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "packet.h"

struct fragment_key {
	__be32 saddr;
	__be32 daddr;
	__u32 ifindex; /* where it is seen: a Service has other addresses on its other side */
	__be16 id;
	__u8 proto;
	__u8 reserved;
};
struct fragment {
	__be16 sport;
	__be16 dport;
	bool opens;
	bool answers;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} fragment_map SEC(".maps");

/* Gives a fragment the ports of its first one, if that has passed here. The bridge puts them in order:
 * conntrack takes a packet whole, and it is cut again on its way into the pod. */
static __always_inline void follow_first(struct packet *packet)
{
	struct fragment_key key = { packet->saddr, packet->daddr, packet->ifindex,
				    packet->id,	   packet->proto, 0 };

	if (!packet->fragment)
		return;
	if (!packet->follows) {
		struct fragment first = { packet->sport, packet->dport, packet->opens,
					  packet->answers };

		if (packet->has_ports)
			bpf_map_update_elem(&fragment_map, &key, &first, BPF_ANY);
		return;
	}
	struct fragment *first = bpf_map_lookup_elem(&fragment_map, &key);

	if (first) {
		packet->sport = first->sport;
		packet->dport = first->dport;
		packet->opens = first->opens;
		packet->answers = first->answers;
		packet->has_ports = true;
	}
}
