/* Chapter 4: decides on every packet of every pod, by identity, port and address.
 *
 *   from_pod  TC ingress of the veth's host end: what the pod sends
 *   to_node   TC ingress of the bridge: what a pod sends to the node, or through it
 *   to_pod    TC egress of the veth's host end: what is about to enter the pod, wherever it comes
 *             from */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Macros are not in the kernel's BTF, from which vmlinux.h is made. */
#define TC_ACT_OK 0
#define INADDR_UNSPEC_GROUP 0xe0000000 /* 224.0.0.0: multicast and what is above */

#include "answers.h"
#include "asked.h"
#include "conntrack.h"
#include "events.h"
#include "fragments.h"
#include "maps.h"
#include "opening.h"
#include "packet.h"
#include "reasons.h"
#include "spoof.h"
#include "verdict.h"

char _license[] SEC("license") = "Dual MIT/GPL";

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
	int reason = judge_answer(packet, dst, src, dst, epoch);

	if (reason != NO_ANSWER)
		return reason;
	if (packet->is_error && *src_id != ID_HOST)
		return related(skb, packet, HOOK_TO_POD, dst, epoch);

	/* Both ends anew, in one epoch. Of a pod behind the node's address only the mark says whether
	 * it is isolated. */
	bool egress = src ? src->ifindex && src->flags & EGRESS_ISOLATED :
			    is_marked(skb) && skb->mark & MARK_UNDECIDED;

	reason = judge_opening(skb, packet, *src_id, *dst_id, egress, true, true, epoch);
	if (reason)
		return reason;
	if (remember(skb, packet, table_of(src, dst), *src_id, src, dst, true))
		tell(skb, packet, HOOK_TO_POD, *src_id, *dst_id, FORWARDED);
	if (src)
		grant(skb, packet, *src_id, src, epoch);
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
	follow_first(&packet);
	if (!reason)
		reason = judge_to_pod(skb, &packet, &src_id, &dst_id);
	if (reason)
		return drop(skb, &packet, HOOK_TO_POD, src_id, dst_id, reason);
	return TC_ACT_OK;
}

/* #region from_pod */
static __always_inline int judge_from_pod(struct __sk_buff *skb, const struct packet *packet,
					  __u32 epoch, __u32 *src_id, __u32 *dst_id,
					  __u32 *mark)
{
	struct endpoint *src = own_endpoint(packet, packet->saddr, epoch);
	struct endpoint *dst = endpoint_at(packet->daddr, epoch);

	if (!src || !same_mac(src->mac, packet->source_mac))
		return DROP_SPOOFED;
	*src_id = src->identity;
	*dst_id = dst ? dst->identity : ID_WORLD; /* or a Service's address */
	if (packet->to_group || bpf_ntohl(packet->daddr) >= INADDR_UNSPEC_GROUP)
		return DROP_GROUP;

	bool egress = src->flags & EGRESS_ISOLATED;
	int reason = judge_answer(packet, dst, src, src, epoch);

	/* A fragment may wait until the policies are others. And if the node has forgotten the question,
	 * it may take the answer for one, and lead it through a Service. */
	if (reason != NO_ANSWER) {
		if ((egress || packet->fragment) && !dst && !is_nodes(skb, packet))
			*mark = MARK_AGAIN;
		return reason;
	}
	if (packet->is_error)
		return related(skb, packet, HOOK_FROM_POD, src, epoch);
	*mark = egress ? MARK_UNDECIDED : packet->fragment ? MARK_AGAIN : 0;
	if (packet->follows)
		return FORWARDED; /* or not, as its first one: the bridge puts them together */

	/* Early, and only a no: what leads to a pod without a Service. All else is decided when it is
	 * translated. */
	if (dst) {
		reason = judge_opening(skb, packet, *src_id, *dst_id, egress, true, false, epoch);
		if (reason)
			return reason;
	}
	if (egress) {
		ask(skb, packet);
		return FORWARDED;
	}
	/* Towards a pod of this node its to_pod reports. */
	if (remember(skb, packet, table_of(src, src), *src_id, src, dst, *dst_id == ID_WORLD)) {
		tell(skb, packet, HOOK_FROM_POD, *src_id, *dst_id, FORWARDED);
		/* Where a Service leads it is asked once it is isolated. */
		ask(skb, packet);
		*mark = MARK_AGAIN;
	}
	return FORWARDED;
}
/* #endregion from_pod */

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 src_id = 0, dst_id = 0, mark = 0, epoch = current_epoch();
	int reason = parse(skb, &packet);

	if (!reason && !packet.proto) {
		if (arp_is_honest(skb, &packet, epoch))
			return TC_ACT_OK;
		reason = DROP_SPOOFED;
	}
	if (!reason)
		reason = judge_from_pod(skb, &packet, epoch, &src_id, &dst_id, &mark);
	if (reason)
		return drop(skb, &packet, HOOK_FROM_POD, src_id, dst_id, reason);
	skb->mark = mark_of(src_id, epoch) | mark;
	return TC_ACT_OK;
}

/* #region to_node */
/* Where a Service has led by now: br_netfilter translates before the bridge hands a packet up. */
static __always_inline int judge_to_node(struct __sk_buff *skb, const struct packet *packet,
					 __u32 *src_id, __u32 *dst_id)
{
	__u32 epoch = current_epoch();
	struct endpoint *src;

	*src_id = who_sent(skb, packet->saddr, &epoch, &src);
	struct endpoint *dst = endpoint_at(packet->daddr, epoch);

	*dst_id = dst ? dst->identity : ID_WORLD;
	if (dst && dst->ifindex)
		return FORWARDED; /* its to_pod decides; here is a copy (promiscuous), or a detour */
	bool egress = !src || src->flags & EGRESS_ISOLATED;

	if (!is_marked(skb)) /* somebody took the mark away: what is it? */
		return src && egress ? DROP_SPOOFED : FORWARDED;
	int reason = src ? judge_answer(packet, dst, src, src, epoch) : NO_ANSWER;
	bool answers = reason != NO_ANSWER;

	if (!answers)
		reason = judge_opening(skb, packet, *src_id, *dst_id, egress, false, true, epoch);
	if (reason)
		return reason;
	skb->mark &= ~(MARK_UNDECIDED | MARK_AGAIN);
	if (src)
		grant(skb, packet, *src_id, src, epoch);
	skb->priority = 0;
	if (!src || !egress || answers)
		return FORWARDED;
	if (remember(skb, packet, table_of(src, src), *src_id, src, dst, *dst_id == ID_WORLD))
		tell(skb, packet, HOOK_TO_NODE, *src_id, *dst_id, FORWARDED);
	return FORWARDED;
}
/* #endregion to_node */

SEC("tc")
int to_node(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 src_id = 0, dst_id = 0;

	/* #region look */
	if (is_marked(skb) && !(skb->mark & (MARK_UNDECIDED | MARK_AGAIN)))
		return TC_ACT_OK;
	/* #endregion look */
	int reason = parse(skb, &packet);

	if (!is_marked(skb) && (reason || !packet.proto))
		return TC_ACT_OK; /* ARP, and what no pod has sent */
	follow_first(&packet);
	if (!reason)
		reason = judge_to_node(skb, &packet, &src_id, &dst_id);
	if (reason)
		return drop(skb, &packet, HOOK_TO_NODE, src_id, dst_id, reason);
	return TC_ACT_OK;
}
