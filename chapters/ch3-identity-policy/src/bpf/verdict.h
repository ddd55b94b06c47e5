/* Who is the source, who is the destination, is the pair allowed? */
#pragma once
#include "vmlinux.h"
#include "maps.h"
#include "reasons.h"

/* The slide's look-up, and one with a wildcard: nothing found is a no. */
/* #region allowed */
static __always_inline struct policy_entry *allowed(__u32 src_id, __u32 dst_id, __u32 epoch)
{
	struct policy_entry *entry = policy_at(src_id, dst_id, epoch);

	if (!entry)
		entry = policy_at(ID_ANY, dst_id, epoch);
	return entry && entry->action == ACTION_ALLOW ? entry : NULL;
}
/* #endregion allowed */

struct verdict {
	int reason; /* 0: it may pass */
	struct policy_entry *entry; /* that allows it, if it takes one */
};

/* May a connection from src to dst be? Nothing isolates the node and the world; the node always
 * reaches its own pods (kubelet's probes). `flags` are those of src, if it is an endpoint. */
static __always_inline struct verdict judge(__u32 src_id, __u16 flags, __u32 dst_id, __u32 epoch)
{
	struct verdict verdict = { FORWARDED, NULL };

	if (src_id == ID_HOST)
		return verdict;
	if (flags & EGRESS_ISOLATED) {
		verdict.reason = DROP_EGRESS;
		return verdict;
	}
	if (dst_id == ID_HOST || dst_id == ID_WORLD)
		return verdict;
	verdict.entry = allowed(src_id, dst_id, epoch);
	if (!verdict.entry)
		verdict.reason = DROP_POLICY;
	return verdict;
}

/* from_pod writes into the packet's mark who sent it, as Cilium does, and in which epoch. The mark
 * goes with the packet through bridge, NAT and routing, and leaves kube-proxy's bits (0x4000,
 * 0x8000) alone. A pod cannot set it: on the way from one network namespace to another the kernel
 * clears it. */
#define MARK_IDENTITY 0x0f00
#define MARK_EPOCH 0x00ff

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

/* #region who */
/* The identity of the sender of a packet that is about to enter a pod; 0: it poses as another.
 * `src` becomes the endpoint that has the source address, if any. */
static __always_inline __u32 who_sent(struct __sk_buff *skb, __be32 saddr, __u32 *epoch,
				      struct endpoint **src)
{
	*src = endpoint_at(saddr, *epoch);
	if ((skb->mark & MARK_IDENTITY) == MARK_IDENTITY)
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
