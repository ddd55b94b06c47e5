/* What the policies say of a packet that belongs to no connection which is known. */
#pragma once
#include "vmlinux.h"
#include "packet.h"
#include "reasons.h"
#include "verdict.h"

/* May the packet open a connection, or go on with one that the same end has opened? Where the verdict
 * is final, the entries count it. */
static __always_inline int judge_opening(struct __sk_buff *skb, const struct packet *packet,
					 __u32 src_id, __u32 dst_id, bool egress, bool ingress,
					 bool is_final, __u32 epoch)
{
	struct question question = {
		.src_id = src_id,
		.dst_id = dst_id,
		.saddr = packet->saddr,
		.daddr = packet->daddr,
		.dport = packet->dport,
		.proto = packet->proto,
		.has_port = packet->has_ports,
		.egress = egress,
		.ingress = ingress,
		.packets = is_final ? skb->gso_segs ?: 1 : 0,
		.bytes = skb->len,
	};
	int reason = judge(&question, epoch);

	if (reason && packet->follows && !packet->has_ports)
		return DROP_FRAGMENT; /* its first one has not passed here */
	return reason;
}
