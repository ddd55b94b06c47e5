/* Who is the source, who is the destination, by which port: do their policies allow it? */
#pragma once
#include "vmlinux.h"
#include "maps.h"
#include "reasons.h"

/* May this connection be opened? Destination and port are those behind a Service. */
struct question {
	__u32 src_id;
	__u32 dst_id;
	__be32 saddr;
	__be32 daddr;
	__be16 dport;
	__u8 proto;
	bool has_port; /* else the protocol has none, or the packet does not hold it */
	bool egress; /* the source's policies are asked: some policy isolates it */
	bool ingress; /* the destination's policies are asked: it is a pod */
	__u16 packets; /* what the entry that says yes counts; 0: it is only asked */
	__u32 bytes;
};

/* #region ports */
static __always_inline bool has_port(__u32 set, const struct question *question)
{
	struct port_key key = { PORT_BITS, set, question->proto, 0, question->dport };

	if (set == NO_PORTS || set == ALL_PORTS)
		return set == ALL_PORTS;
	return question->has_port && bpf_map_lookup_elem(&port_map, &key);
}

static __always_inline bool has_address(__u32 set, __be32 address, const struct question *question)
{
	struct block_key key = { BLOCK_BITS, set, address };
	__u32 *ports = set ? bpf_map_lookup_elem(&block_map, &key) : NULL;

	return ports && has_port(*ports, question);
}
/* #endregion ports */

/* #region allowed */
static __always_inline bool yes(struct policy_entry *entry, const struct question *question)
{
	if (question->packets) {
		__sync_fetch_and_add(&entry->packets, question->packets);
		__sync_fetch_and_add(&entry->bytes, question->bytes);
	}
	return true;
}

/* #region candidates */
/* Whoever it is, who it is, where it is: do the policies of one end allow it? Any yes is one, and
 * three times no is no. */
static __always_inline bool allowed(const struct question *question, enum direction direction,
				    __u32 epoch)
{
	bool egress = direction == EGRESS;
	struct policy_key pair = { question->src_id, question->dst_id, direction };
	struct policy_key anybody = { egress ? question->src_id : ID_ANY,
				      egress ? ID_ANY : question->dst_id, direction };
	struct policy_entry *entry, *of_anybody;
	struct policy *all = policy_at(&anybody, epoch, &of_anybody);

	if (all && has_port(all->ports, question))
		return yes(of_anybody, question);
	struct policy *peer = policy_at(&pair, epoch, &entry);

	if (peer && has_port(peer->ports, question))
		return yes(entry, question);
	if (all && has_address(all->blocks, egress ? question->daddr : question->saddr, question))
		return yes(of_anybody, question);
	return false;
}
/* #endregion candidates */

/* Both ends' policies must allow it. The node always reaches its own pods (kubelet's probes).
 * Returns a reason, or FORWARDED. Not static: such a function the verifier looks at once, and not in
 * each place where it is called. */
__noinline int judge(const struct question *question, __u32 epoch)
{
	if (!question) /* the verifier does not know that nobody passes NULL */
		return DROP_INVALID;
	if (question->src_id == ID_HOST)
		return FORWARDED;
	if (question->egress && !allowed(question, EGRESS, epoch))
		return DROP_EGRESS;
	if (question->ingress && !allowed(question, INGRESS, epoch))
		return DROP_POLICY;
	return FORWARDED;
}
/* #endregion allowed */

/* from_pod writes into the packet's mark who sent it, as Cilium does, and in which epoch. The mark
 * goes with the packet through bridge, NAT and routing, and leaves kube-proxy's bits (0x4000,
 * 0x8000) alone. A pod cannot set it: on the way from one network namespace to another the kernel
 * clears it. */
#define MARK_IDENTITY 0x0f00
#define MARK_EPOCH 0x007f
/* to_node looks at the packet again, though from_pod has let it pass. */
#define MARK_AGAIN 0x0080
/* Whether the sender's policies allow the packet was not decided yet: see from_pod. */
#define MARK_UNDECIDED 0x1000

static __always_inline __u32 mark_of(__u32 identity, __u32 epoch)
{
	return identity << 16 | MARK_IDENTITY | (epoch & MARK_EPOCH);
}

/* Does the source address still belong to the pod that the mark is of? Not if the node has
 * translated it, nor if a tunnel's end on this node has unpacked what some pod had packed: the
 * mark of the outer packet stays on the inner one. */
static __always_inline bool is_marked_pod(const struct endpoint *now, __be32 saddr, __u32 identity,
					  __u32 sent)
{
	if (!now || !now->ifindex)
		return false;
	if (now->identity == identity)
		return true;
	struct endpoint *then = endpoint_at(saddr, sent); /* it was relabelled on the way */

	return then && then->ifindex == now->ifindex && then->identity == identity;
}

/* The identity of the sender of a packet with a mark. */
static __always_inline __u32 who_marked(struct __sk_buff *skb, __be32 saddr, __u32 *epoch,
					struct endpoint **src)
{
	__u32 age = (*epoch - skb->mark) & MARK_EPOCH;
	__u32 sent = *epoch > age ? *epoch - age : 0; /* 0: of an epoch_map before this one */

	/* The pod's own address: what is it now? */
	if (is_marked_pod(*src, saddr, skb->mark >> 16, sent))
		return (*src)->identity;
	/* Else the mark says who sent it, by a number of that time: so all else is as it was at that
	 * time, too. */
	*epoch = sent;
	*src = NULL;
	return skb->mark >> 16;
}

static __always_inline bool is_marked(const struct __sk_buff *skb)
{
	return (skb->mark & MARK_IDENTITY) == MARK_IDENTITY;
}

/* #region who */
/* The identity of the sender of a packet that is about to enter a pod; 0: it poses as another.
 * `src` becomes the endpoint that has the source address, if any. */
static __always_inline __u32 who_sent(struct __sk_buff *skb, __be32 saddr, __u32 *epoch,
				      struct endpoint **src)
{
	*src = endpoint_at(saddr, *epoch);
	if (is_marked(skb))
		return who_marked(skb, saddr, epoch, src);
	/* Never by its address: what comes from outside through a Service may carry it too. */
	if (!skb->ingress_ifindex)
		return ID_HOST;
	if (!*src)
		return ID_WORLD;
	/* A pod of this node whose packet no from_pod has seen. */
	return (*src)->ifindex ? 0 : (*src)->identity;
}
/* #endregion who */
