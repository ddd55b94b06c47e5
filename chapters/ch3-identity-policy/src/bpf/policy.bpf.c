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

#include "maps.h"
#include "reasons.h"
#include "packet.h"
#include "events.h"
#include "spoof.h"
#include "conntrack.h"
#include "verdict.h"

char _license[] SEC("license") = "Dual MIT/GPL";

static __always_inline int drop(struct __sk_buff *skb, const struct packet *packet, __u8 hook,
				__u32 src_id, __u32 dst_id, __u8 reason)
{
	count(reason, skb);
	tell(skb, packet, hook, src_id, dst_id, reason);
	return TC_ACT_SHOT;
}

/* An ICMP error passes if it quotes a packet of whom it is for, and that packet's connection may
 * still be. Routers send such errors, and without them nobody learns the path's MTU. */
static __always_inline int related(struct __sk_buff *skb, const struct packet *packet)
{
	struct policy_entry *entry;
	struct ct_key quoted, opened;

	if (!quoted_key(skb, packet, &quoted) || quoted.saddr != packet->daddr)
		return DROP_UNRELATED;
	struct endpoint *src = endpoint_at(quoted.saddr), *dst = endpoint_at(quoted.daddr);
	struct ct_entry *known = connection(&quoted, src, dst, false);

	if (!known) { /* it quotes an answer */
		opened = reversed(&quoted);
		src = endpoint_at(opened.saddr);
		dst = endpoint_at(opened.daddr);
		known = connection(&opened, src, dst, false);
	}
	if (!known)
		return DROP_UNRELATED;
	return judge(src ? src->identity : known->src_id, src ? src->flags : 0,
		     dst ? dst->identity : ID_WORLD, &entry);
}

/* #region to_pod */
static __always_inline int judge_to_pod(struct __sk_buff *skb, const struct packet *packet,
					__u32 *src_id, __u32 *dst_id)
{
	struct endpoint *src = endpoint_at(packet->saddr);
	struct endpoint *dst = own_endpoint(packet, packet->daddr);
	struct ct_key key = key_of(packet), opened;
	struct policy_entry *entry;
	struct ct_entry *known;
	int reason;

	/* Whose MAC the bridge does not know, that frame it floods to every pod. */
	if (!dst)
		return DROP_NOT_ITS_OWN;
	*dst_id = dst->identity;
	*src_id = who_sent(skb, src);
	if (!*src_id)
		return DROP_SPOOFED;

	/* A pod always reaches itself: what came out of this veth and goes back into it went
	 * through a Service of its own. */
	if (*src_id == *dst_id && skb->ingress_ifindex == packet->ifindex)
		return FORWARDED;

	/* What the pod has asked for may come back while it may still ask. */
	if (packet->answers && !packet->fragment) {
		opened = reversed(&key);
		known = connection(&opened, dst, src, true);
		if (known) {
			note_answer(known, packet);
			reason = judge(dst->identity, dst->flags, *src_id, &entry);
			return reason ? DROP_ANSWER : FORWARDED;
		}
	}
	if (packet->is_error && *src_id != ID_HOST)
		return related(skb, packet);

	reason = judge(*src_id, src ? src->flags : 0, dst->identity, &entry);
	if (reason)
		return packet->fragment && !packet->has_ports ? DROP_FRAGMENT : reason;
	if (entry) {
		__sync_fetch_and_add(&entry->packets, skb->gso_segs ?: 1);
		__sync_fetch_and_add(&entry->bytes, skb->len);
	}
	if (remember(skb, packet, *src_id, src, dst))
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
					  __u32 *src_id, __u32 *dst_id)
{
	struct endpoint *src = own_endpoint(packet, packet->saddr);
	struct endpoint *dst = endpoint_at(packet->daddr);
	struct ct_key key = key_of(packet), opened;
	struct policy_entry *entry;
	struct ct_entry *known;
	int reason;

	if (!src || !same_mac(src->mac, packet->source_mac))
		return DROP_SPOOFED;
	*src_id = src->identity;
	/* A Service's address is nobody's either: to_pod decides when it is translated. */
	*dst_id = dst ? dst->identity : ID_WORLD;
	if (packet->to_group || bpf_ntohl(packet->daddr) >= 0xe0000000)
		return DROP_GROUP;

	if (packet->answers && !packet->fragment) {
		opened = reversed(&key);
		known = connection(&opened, dst, src, true);
		if (known) {
			note_answer(known, packet);
			reason = judge(dst ? dst->identity : known->src_id, dst ? dst->flags : 0,
				       src->identity, &entry);
			return reason ? DROP_ANSWER : FORWARDED;
		}
	}
	if (packet->is_error)
		return related(skb, packet);

	/* Early: what is not allowed gets no further than here. */
	reason = judge(src->identity, src->flags, *dst_id, &entry);
	if (reason)
		return packet->fragment && !packet->has_ports ? DROP_FRAGMENT : reason;
	/* A pod of this node is told of by its to_pod. */
	if (remember(skb, packet, src->identity, src, dst) && !dst)
		tell(skb, packet, HOOK_FROM_POD, *src_id, *dst_id, FORWARDED);
	return FORWARDED;
}
/* #endregion from_pod */

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 src_id = 0, dst_id = 0;
	int reason = parse(skb, &packet);

	if (!reason && !packet.proto) {
		if (arp_is_honest(skb, &packet))
			return TC_ACT_OK;
		reason = DROP_SPOOFED;
	}
	if (!reason)
		reason = judge_from_pod(skb, &packet, &src_id, &dst_id);
	if (reason)
		return drop(skb, &packet, HOOK_FROM_POD, src_id, dst_id, reason);
	skb->mark = mark_of(src_id);
	return TC_ACT_OK;
}
