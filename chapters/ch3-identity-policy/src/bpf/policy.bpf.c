/* Chapter 3: decides on every packet of every pod, by identity.
 *
 *   from_pod  TC ingress of the veth's host end: what the pod sends
 *   to_pod    TC egress: what is about to enter the pod, wherever it comes from */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Macros are not in the kernel's BTF, from which vmlinux.h is made. */
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define INADDR_UNSPEC_GROUP 0xe0000000 /* 224.0.0.0: multicast and what is above */

#include "answers.h"
#include "conntrack.h"
#include "events.h"
#include "maps.h"
#include "packet.h"
#include "reasons.h"
#include "spoof.h"
#include "verdict.h"

char _license[] SEC("license") = "Dual MIT/GPL";

static __always_inline int drop(struct __sk_buff *skb, const struct packet *packet, enum hook hook,
				__u32 src_id, __u32 dst_id, enum reason reason)
{
	count(reason, skb);
	tell(skb, packet, hook, src_id, dst_id, reason);
	return TC_ACT_SHOT;
}

/* May the packet open a connection, or go on with one that the same end has opened? */
static __always_inline struct verdict judge_opening(const struct packet *packet, __u32 src_id,
						    const struct endpoint *src, __u32 dst_id,
						    __u32 epoch)
{
	struct verdict verdict = judge(src_id, src ? src->flags : 0, dst_id, epoch);

	if (verdict.reason && packet->fragment && !packet->has_ports)
		verdict.reason = DROP_FRAGMENT; /* perhaps of an answer: that cannot be seen */
	return verdict;
}

/* #region to_pod */
static __always_inline int judge_to_pod(struct __sk_buff *skb, const struct packet *packet,
					__u32 *src_id, __u32 *dst_id)
{
	__u32 epoch = current_epoch();
	struct endpoint *src;

	*src_id = who_sent(skb, packet->saddr, &epoch, &src);
	struct endpoint *dst = own_endpoint(packet, packet->daddr, epoch);

	/* A frame for a MAC that the bridge does not know is flooded to every pod. */
	if (!dst)
		return DROP_NOT_ITS_OWN;
	*dst_id = dst->identity;
	if (!*src_id)
		return DROP_SPOOFED;

	/* A pod always reaches itself: what came out of this veth and goes back into it went
	 * through a Service of its own. */
	if (*src_id == *dst_id && skb->ingress_ifindex == packet->ifindex)
		return FORWARDED;

	/* What the pod has asked for may come back while it may still ask. */
	int reason = judge_answer(packet, dst, src, *src_id, dst, epoch);

	if (reason != NO_ANSWER)
		return reason;
	if (packet->is_error && *src_id != ID_HOST)
		return related(skb, packet, HOOK_TO_POD, dst, epoch);

	struct verdict verdict = judge_opening(packet, *src_id, src, *dst_id, epoch);

	if (verdict.reason)
		return verdict.reason;
	if (verdict.entry) {
		__sync_fetch_and_add(&verdict.entry->packets, skb->gso_segs ?: 1);
		__sync_fetch_and_add(&verdict.entry->bytes, skb->len);
	}
	if (remember(skb, packet, table_of(src, dst), *src_id, src, dst, true))
		tell(skb, packet, HOOK_TO_POD, *src_id, *dst_id, FORWARDED);
	return FORWARDED;
}
/* #endregion to_pod */

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 src_id = 0, dst_id = 0;
	int reason = parse(skb, &packet);

	if (!reason && !packet.proto)
		return TC_ACT_OK; /* ARP: its sender's from_pod has looked at it */
	if (!reason)
		reason = judge_to_pod(skb, &packet, &src_id, &dst_id);
	if (reason)
		return drop(skb, &packet, HOOK_TO_POD, src_id, dst_id, reason);
	return TC_ACT_OK;
}

/* #region from_pod */
static __always_inline int judge_from_pod(struct __sk_buff *skb, const struct packet *packet,
					  __u32 epoch, __u32 *src_id, __u32 *dst_id)
{
	struct endpoint *src = own_endpoint(packet, packet->saddr, epoch);
	struct endpoint *dst = endpoint_at(packet->daddr, epoch);

	if (!src || !same_mac(src->mac, packet->source_mac))
		return DROP_SPOOFED;
	*src_id = src->identity;
	/* A Service's address is nobody's either: to_pod decides when it is translated. */
	*dst_id = dst ? dst->identity : ID_WORLD;
	if (packet->to_group || bpf_ntohl(packet->daddr) >= INADDR_UNSPEC_GROUP)
		return DROP_GROUP;

	int reason = judge_answer(packet, dst, src, *src_id, src, epoch);

	if (reason != NO_ANSWER)
		return reason;
	if (packet->is_error)
		return related(skb, packet, HOOK_FROM_POD, src, epoch);

	/* Early: what is not allowed gets no further than here. */
	struct verdict verdict = judge_opening(packet, *src_id, src, *dst_id, epoch);

	if (verdict.reason)
		return verdict.reason;
	/* Towards a pod of this node its to_pod reports. */
	if (remember(skb, packet, table_of(src, src), *src_id, src, dst, *dst_id == ID_WORLD))
		tell(skb, packet, HOOK_FROM_POD, *src_id, *dst_id, FORWARDED);
	return FORWARDED;
}
/* #endregion from_pod */

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 src_id = 0, dst_id = 0, epoch = current_epoch();
	int reason = parse(skb, &packet);

	if (!reason && !packet.proto) {
		if (arp_is_honest(skb, &packet, epoch))
			return TC_ACT_OK;
		reason = DROP_SPOOFED;
	}
	if (!reason)
		reason = judge_from_pod(skb, &packet, epoch, &src_id, &dst_id);
	if (reason)
		return drop(skb, &packet, HOOK_FROM_POD, src_id, dst_id, reason);
	skb->mark = mark_of(src_id, epoch);
	return TC_ACT_OK;
}
