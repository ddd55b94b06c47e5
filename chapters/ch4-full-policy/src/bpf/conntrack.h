/* Who has opened a connection, so that its answers may pass: a policy allows connections, and
 * their answers with them. The agent's view of these structs is src/maps/ct.rs. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "events.h"
#include "maps.h"
#include "packet.h"
#include "reasons.h"

#define SECOND 1000000000ULL

struct ct_key {
	__be32 saddr; /* of who opened it, as the veth's pod sees it: see ct_map */
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 proto;
};

struct ct_entry {
	__u64 expires; /* ns since boot */
	union {
		__u32 src_id; /* who opened it, as last seen */
		__be32 target; /* CT_TRANSLATED: where it leads behind the Service */
	};
	/* Of the endpoints that had the addresses, 0 for none: a later owner of an
	 * address inherits no connection. */
	__u32 src_generation;
	__u32 dst_generation;
	__u16 flags;
	__be16 target_port;
};
#define CT_ANSWERED 1
#define CT_OPENER_CLOSED 2
#define CT_ANSWERER_CLOSED 4
#define CT_CLOSED (CT_OPENER_CLOSED | CT_ANSWERER_CLOSED)
#define CT_REPORTED 8 /* an event has said that it is new */
#define CT_TRANSLATED 16 /* the pod asked a Service: see asked.h */

/* #region tables */
/* In a full table the least recently used makes room. So each pod has tables of its own, and
 * what it opens throws out its own connections only: table 2 * id has those that it has opened,
 * table 2 * id + 1 those that others than pods of this node have opened to it. The agent makes
 * them, larger where there are many CPUs: to each the kernel hands out entries by 128. */
struct ct_table {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__uint(key_size, sizeof(struct ct_key));
	__uint(value_size, sizeof(struct ct_entry));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(values, struct ct_table);
} ct_map SEC(".maps");

/* The table for a connection between a pod of this node and `opener`, which may be another one. */
static __always_inline void *table_of(const struct endpoint *opener, const struct endpoint *pod)
{
	__u32 index = opener && opener->ifindex ? 2 * opener->id : 2 * pod->id + 1;

	return bpf_map_lookup_elem(&ct_map, &index);
}
/* #endregion tables */

static __always_inline __u64 lifetime(__u32 proto, __u16 flags)
{
	if (proto == IPPROTO_ICMP || (flags & CT_CLOSED) == CT_CLOSED)
		return 10 * SECOND;
	if (!(flags & CT_ANSWERED) || (proto != IPPROTO_TCP && proto != IPPROTO_SCTP))
		return 60 * SECOND;
	return 8000 * SECOND; /* Linux asks a silent peer after 7,200 s whether it is there */
}

static __always_inline struct ct_key key_of(const struct packet *packet)
{
	return (struct ct_key){ packet->saddr, packet->daddr, packet->sport, packet->dport,
				packet->proto };
}

static __always_inline struct ct_key reversed(const struct packet *packet)
{
	return (struct ct_key){ packet->daddr, packet->saddr, packet->dport, packet->sport,
				packet->proto };
}

static __always_inline __u32 generation(const struct endpoint *endpoint)
{
	return endpoint ? endpoint->generation : 0;
}

/* Has the address belonged to the same endpoint since? What nobody was known to have may by now be
 * known as a pod's of another node: the API told late, it was the same all the while. */
static __always_inline bool is_same(__u32 *then, const struct endpoint *now)
{
	if (!*then && now && !now->ifindex)
		*then = now->generation;
	return *then == generation(now);
}

/* #region connection */
/* The connection from opener to answerer with this key, or NULL. It counts while it lives, and while
 * both addresses belong to the same endpoints as before. */
static __always_inline struct ct_entry *connection(void *table, const struct ct_key *key,
						   const struct endpoint *opener,
						   const struct endpoint *answerer)
{
	struct ct_entry *entry = table ? bpf_map_lookup_elem(table, key) : NULL;

	if (!entry || entry->expires <= bpf_ktime_get_ns() ||
	    !is_same(&entry->src_generation, opener) || !is_same(&entry->dst_generation, answerer))
		return NULL;
	return entry;
}

/* A packet of a connection that may be: it goes on living, and when both ends have closed it, not
 * for long. `end` is the flag of the end that has sent the packet. */
static __always_inline void refresh(struct ct_entry *entry, const struct packet *packet, __u16 end)
{
	__u16 flags = entry->flags;

	if (end == CT_ANSWERER_CLOSED)
		flags |= CT_ANSWERED;
	if (packet->closes)
		flags |= packet->resets ? CT_CLOSED : end;
	entry->flags = flags;
	entry->expires = bpf_ktime_get_ns() + lifetime(packet->proto, flags);
}
/* #endregion connection */

/* Remembers or refreshes the connection of a packet that was allowed. Returns whether the caller
 * should report it as new: never if it does not report this connection at all. */
static __always_inline bool remember(struct __sk_buff *skb, const struct packet *packet,
				     void *table, __u32 src_id, const struct endpoint *src,
				     const struct endpoint *dst, bool reports)
{
	if (!packet->has_ports)
		return false;
	struct ct_key key = key_of(packet);
	struct ct_entry *known = connection(table, &key, src, dst);

	if (known) {
		/* A lone SYN is a new beginning, also of a connection that was closing. */
		if (packet->proto == IPPROTO_TCP && !packet->answers && known->flags & CT_CLOSED)
			known->flags = 0;
		bool is_new = reports && !(known->flags & CT_REPORTED);

		if (is_new)
			known->flags |= CT_REPORTED;
		if (!(known->flags & CT_TRANSLATED))
			known->src_id = src_id;
		refresh(known, packet, CT_OPENER_CLOSED);
		return is_new;
	}
	if (!packet->opens)
		return false;
	struct ct_entry entry = {
		.expires = bpf_ktime_get_ns() + lifetime(packet->proto, 0),
		.src_id = src_id,
		.src_generation = generation(src),
		.dst_generation = generation(dst),
		.flags = reports ? CT_REPORTED : 0,
	};

	if (!table || bpf_map_update_elem(table, &key, &entry, BPF_ANY))
		count(CT_FULL, skb);
	return reports;
}

#define ICMP_QUOTED 8 /* RFC 792: so much behind the IP header must be quoted */

/* #region related */
/* Reads the packet that an ICMP error quotes. */
static __always_inline bool read_quoted(struct __sk_buff *skb, const struct packet *packet,
					struct packet *quoted)
{
	struct iphdr ip;
	union l4 l4 = {};
	__u32 offset = packet->l4 + sizeof(struct icmphdr);

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return false;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET) ||
	    !header_size(ip.protocol))
		return false;
	if (bpf_skb_load_bytes(skb, offset + ip.ihl * 4, &l4, ICMP_QUOTED))
		return false;
	*quoted = (struct packet){ .saddr = ip.saddr, .daddr = ip.daddr, .proto = ip.protocol };
	read_l4(&l4, quoted);
	return quoted->has_ports;
}
/* #endregion related */
