/* What may pass because of a connection that is known: answers, and ICMP errors. */
#pragma once
#include "vmlinux.h"
#include "conntrack.h"
#include "events.h"
#include "maps.h"
#include "packet.h"
#include "reasons.h"
#include "verdict.h"

#define AF_INET 2

/* #region known */
/* May a connection be, judged anew? Either end is NULL if it is no endpoint. */
static __always_inline int judge_known(const struct ct_entry *known, const struct ct_key *key,
				       const struct endpoint *opener,
				       const struct endpoint *answerer, __u32 epoch)
{
	struct question question = {
		.src_id = opener ? opener->identity : known->src_id,
		.saddr = key->saddr,
		.daddr = key->daddr,
		.dport = key->dport,
		.proto = key->proto,
		.has_port = true,
		.egress = opener && opener->ifindex && opener->flags & EGRESS_ISOLATED,
	};

	/* A pod that came by the node's address, and may be another identity by now: its own
	 * to_pod knows which. */
	if (!opener && question.src_id > ID_WORLD)
		return FORWARDED;
	if (question.egress && known->flags & CT_TRANSLATED) {
		question.daddr = known->target;
		question.dport = known->target_port;
		answerer = endpoint_at(known->target, epoch);
	}
	/* Of a Service that was not looked through: the answerer's own from_pod has judged it. */
	question.ingress = answerer != NULL;
	question.dst_id = answerer ? answerer->identity : ID_WORLD;
	return judge(&question, epoch);
}
/* #endregion known */

#define NO_ANSWER -1

/* An answer passes while its question may. `pod` is the end whose veth it is. Returns a reason, or
 * NO_ANSWER if the packet belongs to no connection that `opener` has opened. */
static __always_inline int judge_answer(const struct packet *packet, const struct endpoint *opener,
					const struct endpoint *answerer,
					const struct endpoint *pod, __u32 epoch)
{
	struct ct_key opened = reversed(packet);
	struct ct_entry *known;

	if (!packet->answers)
		return NO_ANSWER;
	known = connection(table_of(opener, pod), &opened, opener, answerer);
	if (!known)
		return NO_ANSWER;
	if (judge_known(known, &opened, opener, answerer, epoch))
		return DROP_ANSWER;
	refresh(known, packet, CT_ANSWERER_CLOSED);
	return FORWARDED;
}

/* Is it for an address of the node? There it may hide somebody who has asked: see to_node. */
static __always_inline bool is_nodes(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.ifindex = packet->ifindex,
		.ipv4_src = packet->saddr,
		.ipv4_dst = packet->daddr,
	};

	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

/* May the connection be that an ICMP error quotes a packet of? `pod` is the pod whose veth it is. */
static __always_inline int judge_quoted(const struct ct_key *key, const struct endpoint *opener,
					const struct endpoint *answerer,
					const struct endpoint *pod, __u32 epoch)
{
	struct ct_entry *known = connection(table_of(opener, pod), key, opener, answerer);

	if (!known)
		return DROP_UNRELATED;
	return judge_known(known, key, opener, answerer, epoch);
}

/* An ICMP error passes if it quotes a packet that its receiver has sent, and that packet's connection
 * may still be. Routers send such errors, and without them nobody learns the path's MTU. A pod is no
 * router: what it complains of was sent to itself, or it could end its neighbours' connections. */
static __always_inline int related(struct __sk_buff *skb, const struct packet *packet,
				   enum hook hook, const struct endpoint *pod, __u32 epoch)
{
	struct packet quoted;

	if (!read_quoted(skb, packet, &quoted) || quoted.saddr != packet->daddr)
		return DROP_UNRELATED;
	if (hook == HOOK_FROM_POD && quoted.daddr != packet->saddr)
		return DROP_UNRELATED;
	struct endpoint *sender = endpoint_at(quoted.saddr, epoch);
	struct endpoint *receiver = endpoint_at(quoted.daddr, epoch);
	struct ct_key question = key_of(&quoted), answer = reversed(&quoted);
	int reason = judge_quoted(&question, sender, receiver, pod, epoch);

	return reason == DROP_UNRELATED ? judge_quoted(&answer, receiver, sender, pod, epoch) :
					  reason;
}
