/* What a pod asked for, before a Service's address becomes a backend's: the answers will come from
 * there. Asked is not granted: whoever allows the translated packet makes it a connection. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "conntrack.h"
#include "maps.h"
#include "packet.h"

/* Neither source nor source port are another behind a Service. */
struct asked_key {
	__be32 saddr;
	__be16 sport;
	__u8 proto;
	__u8 reserved;
};
struct asked {
	__be32 daddr;
	__be16 dport;
	__u16 reserved;
	__u32 token; /* of the packets that ask for it */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct asked_key);
	__type(value, struct asked);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} asked_map SEC(".maps");

static __always_inline bool is_asked(const struct asked *asked, const struct packet *packet)
{
	return asked && asked->daddr == packet->daddr && asked->dport == packet->dport;
}

/* #region asked */
/* Of a packet whose verdict falls later. It takes a token along, since another one may ask for
 * something else meanwhile; in skb->priority, which nobody uses on the way. To look costs less than
 * to write. */
static __always_inline void ask(struct __sk_buff *skb, const struct packet *packet)
{
	struct asked_key key = { packet->saddr, packet->sport, packet->proto, 0 };
	struct asked asked = { packet->daddr, packet->dport, 0, bpf_get_prandom_u32() | 1 };
	struct asked *known = bpf_map_lookup_elem(&asked_map, &key);

	if (!packet->opens)
		return;
	if (is_asked(known, packet))
		asked.token = known->token;
	else
		bpf_map_update_elem(&asked_map, &key, &asked, BPF_ANY);
	skb->priority = asked.token;
}

/* The packet is allowed. If it was asked for by another address, so are its answers: as long as the
 * pod may connect to where the packet goes. */
static __always_inline void grant(struct __sk_buff *skb, const struct packet *packet,
				  __u32 src_id, const struct endpoint *src, __u32 epoch)
{
	struct asked_key key = { packet->saddr, packet->sport, packet->proto, 0 };
	struct asked *asked = skb->priority ? bpf_map_lookup_elem(&asked_map, &key) : NULL;

	if (!asked || asked->token != skb->priority || is_asked(asked, packet))
		return;
	struct packet question = *packet;
	struct ct_entry *entry;

	question.daddr = asked->daddr;
	question.dport = asked->dport;
	struct endpoint *dst = endpoint_at(asked->daddr, epoch);

	remember(skb, &question, table_of(src, src), src_id, src, dst, false);
	struct ct_key opened = key_of(&question);

	entry = connection(table_of(src, src), &opened, src, dst);
	if (entry) {
		entry->target = packet->daddr;
		entry->target_port = packet->dport;
		entry->flags |= CT_TRANSLATED;
	}
}
/* #endregion asked */
