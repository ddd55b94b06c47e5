/* Who has opened a connection, so that its answers may pass: a policy allows connections, and
 * their answers with them. Each veth keeps its own: as its pod sees the addresses, so what a
 * Service translates on the way is no matter. */

#define SECOND 1000000000ULL

struct ct_key {
	__be32 saddr; /* of who opened it */
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 ifindex;
	__u32 proto;
};

struct ct_entry {
	__u64 expires; /* ns since boot */
	__u32 src_id; /* who opened it, as last seen */
	/* Of the endpoints that had the addresses, 0 for none: who gets an address later
	 * inherits no connection. */
	__u32 src_generation;
	__u32 dst_generation;
	__u32 closing;
};

/* Two maps, in each of which the least recently used makes room: a flood of connections that
 * nobody answers throws out only its like. A map hands out entries to each CPU by 128, hence
 * no less than 2 * 128 for each: 65536 will do for 256 of them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ct_new_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct ct_key);
	__type(value, struct ct_entry);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} ct_established_map SEC(".maps");

static __always_inline __u64 lifetime(__u32 proto, bool closing)
{
	if (closing || proto == IPPROTO_ICMP)
		return 10 * SECOND;
	return proto == IPPROTO_TCP ? 3600 * SECOND : 60 * SECOND;
}

static __always_inline struct ct_key key_of(const struct packet *packet)
{
	return (struct ct_key){ packet->saddr, packet->daddr,	packet->sport,
				packet->dport, packet->ifindex, packet->proto };
}

static __always_inline struct ct_key reversed(const struct ct_key *key)
{
	return (struct ct_key){ key->daddr, key->saddr, key->dport,
				key->sport, key->ifindex, key->proto };
}

static __always_inline __u32 generation(const struct endpoint *endpoint)
{
	return endpoint ? endpoint->generation : 0;
}

/* An entry counts while it lives, and while both addresses are whose they were. */
static __always_inline bool is_current(const struct ct_entry *entry, const struct endpoint *src,
				       const struct endpoint *dst)
{
	return entry && entry->expires > bpf_ktime_get_ns() &&
	       entry->src_generation == generation(src) && entry->dst_generation == generation(dst);
}

/* #region answered */
/* The connection from src to dst with this key, if there is one: this packet was answered, or is
 * an answer and makes the connection an established one. */
static __always_inline struct ct_entry *connection(const struct ct_key *key,
						   const struct endpoint *src,
						   const struct endpoint *dst, bool is_answer)
{
	struct ct_entry *entry = bpf_map_lookup_elem(&ct_established_map, key);

	if (is_current(entry, src, dst))
		return entry;
	entry = bpf_map_lookup_elem(&ct_new_map, key);
	if (!is_current(entry, src, dst))
		return NULL;
	if (is_answer) {
		struct ct_entry copy = *entry;

		bpf_map_update_elem(&ct_established_map, key, &copy, BPF_ANY);
		bpf_map_delete_elem(&ct_new_map, key);
		entry = bpf_map_lookup_elem(&ct_established_map, key);
	}
	return entry;
}
/* #endregion answered */

/* An answer may end a connection, but it does not keep it alive: else who is denied could hold
 * on to it. */
static __always_inline void note_answer(struct ct_entry *entry, const struct packet *packet)
{
	__u64 soon = bpf_ktime_get_ns() + lifetime(packet->proto, true);

	if (!packet->closes)
		return;
	entry->closing = 1;
	if (entry->expires > soon)
		entry->expires = soon;
}

/* Remembers or refreshes the connection of a packet that was allowed; is it a new one? */
static __always_inline bool remember(struct __sk_buff *skb, const struct packet *packet,
				     __u32 src_id, const struct endpoint *src,
				     const struct endpoint *dst)
{
	if (!packet->has_ports)
		return false;
	struct ct_key key = key_of(packet);
	struct ct_entry *known = connection(&key, src, dst, false);
	/* A lone SYN is a new beginning, also of a connection that was closing. */
	bool reopens = packet->proto == IPPROTO_TCP && !packet->answers;
	bool closing = packet->closes || (known && known->closing && !reopens);
	__u64 expires = bpf_ktime_get_ns() + lifetime(packet->proto, closing);

	if (known) {
		known->src_id = src_id;
		known->closing = closing;
		known->expires = expires;
		return false;
	}
	if (!packet->opens)
		return false;
	struct ct_entry entry = { expires, src_id, generation(src), generation(dst), closing };

	/* One that does not count any more would stand before it. */
	bpf_map_delete_elem(&ct_established_map, &key);
	if (bpf_map_update_elem(&ct_new_map, &key, &entry, BPF_ANY))
		count(CT_FULL, skb);
	return true;
}

/* #region related */
/* The key of the packet that an ICMP error quotes, in `quoted`. */
static __always_inline bool quoted_key(struct __sk_buff *skb, const struct packet *packet,
				       struct ct_key *quoted)
{
	struct iphdr ip;
	union l4 l4 = {};
	__u32 offset = packet->l4 + sizeof(struct icmphdr);

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return false;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET) ||
	    !header_size(ip.protocol))
		return false;
	/* Eight bytes behind the header are all that must be quoted. */
	if (bpf_skb_load_bytes(skb, offset + ip.ihl * 4, &l4, 8))
		return false;
	struct packet inner = {
		.ifindex = packet->ifindex,
		.saddr = ip.saddr,
		.daddr = ip.daddr,
		.proto = ip.protocol,
	};

	read_l4(&l4, &inner);
	if (!inner.has_ports)
		return false;
	*quoted = key_of(&inner);
	return true;
}
/* #endregion related */
