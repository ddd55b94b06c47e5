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

/* #region answers */
/* An answer passes while its question may. `opener` is who asked, if it is an endpoint. */
static __always_inline int judge_answer(const struct packet *packet, struct ct_entry *known,
					const struct endpoint *opener, __u32 answerer_id,
					__u32 epoch)
{
	__u32 opener_id = opener ? opener->identity : known->src_id;
	struct policy_entry *entry;

	/* A pod that came by the node's address, and may be another identity by now: its own
	 * to_pod knows which. */
	bool is_hidden = !opener && opener_id > ID_WORLD;

	if (!is_hidden &&
	    judge(opener_id, opener ? opener->flags : 0, answerer_id, epoch, &entry))
		return DROP_ANSWER;
	refresh(known, packet, CT_ANSWERER_CLOSED);
	return FORWARDED;
}
/* #endregion answers */

/* May the connection be that an ICMP error quotes a packet of? `pod` is the pod whose veth it is. */
static __always_inline int judge_quoted(const struct ct_key *key, const struct endpoint *src,
					const struct endpoint *dst, const struct endpoint *pod,
					__u32 epoch)
{
	struct ct_entry *known = connection(table_of(src, pod), key, src, dst);
	struct policy_entry *entry;

	if (!known)
		return DROP_UNRELATED;
	if (!src && known->src_id > ID_WORLD)
		return FORWARDED;
	return judge(src ? src->identity : known->src_id, src ? src->flags : 0,
		     dst ? dst->identity : ID_WORLD, epoch, &entry);
}

/* An ICMP error passes if it quotes a packet of whom it is for, and that packet's connection may
 * still be. Routers send such errors, and without them nobody learns the path's MTU. A pod is no
 * router: what it complains of was sent to itself, or it could end its neighbours' connections. */
static __always_inline int related(struct __sk_buff *skb, const struct packet *packet, __u8 hook,
				   const struct endpoint *pod, __u32 epoch)
{
	struct packet quoted;

	if (!read_quoted(skb, packet, &quoted) || quoted.saddr != packet->daddr)
		return DROP_UNRELATED;
	if (hook == HOOK_FROM_POD && quoted.daddr != packet->saddr)
		return DROP_UNRELATED;
	struct endpoint *src = endpoint_at(quoted.saddr, epoch);
	struct endpoint *dst = endpoint_at(quoted.daddr, epoch);
	struct ct_key asked = key_of(&quoted), answered = reversed(&quoted);
	int reason = judge_quoted(&asked, src, dst, pod, epoch);

	return reason == DROP_UNRELATED ? judge_quoted(&answered, dst, src, pod, epoch) : reason;
}

/* #region to_pod */
static __always_inline int judge_to_pod(struct __sk_buff *skb, const struct packet *packet,
					__u32 *src_id, __u32 *dst_id)
{
	struct ct_key opened = reversed(packet);
	__u32 epoch = current_epoch();
	struct policy_entry *entry;
	struct ct_entry *known;
	struct endpoint *src;
	int reason;

	*src_id = who_sent(skb, packet->saddr, &epoch, &src);
	struct endpoint *dst = own_endpoint(packet, packet->daddr, epoch);

	/* Whose MAC the bridge does not know, that frame it floods to every pod. */
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
	if (packet->answers && !packet->fragment) {
		known = connection(table_of(dst, dst), &opened, dst, src);
		if (known)
			return judge_answer(packet, known, dst, *src_id, epoch);
	}
	if (packet->is_error && *src_id != ID_HOST)
		return related(skb, packet, HOOK_TO_POD, dst, epoch);

	reason = judge(*src_id, src ? src->flags : 0, dst->identity, epoch, &entry);
	if (reason)
		return packet->fragment && !packet->has_ports ? DROP_FRAGMENT : reason;
	if (entry) {
		__sync_fetch_and_add(&entry->packets, skb->gso_segs ?: 1);
		__sync_fetch_and_add(&entry->bytes, skb->len);
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
	struct ct_key opened = reversed(packet);
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
		known = connection(table_of(dst, src), &opened, dst, src);
		if (known)
			return judge_answer(packet, known, dst, src->identity, epoch);
	}
	if (packet->is_error)
		return related(skb, packet, HOOK_FROM_POD, src, epoch);

	/* Early: what is not allowed gets no further than here. */
	reason = judge(src->identity, src->flags, *dst_id, epoch, &entry);
	if (reason)
		return packet->fragment && !packet->has_ports ? DROP_FRAGMENT : reason;
	/* A pod of this node is told of by its to_pod. */
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
