/* What is reported of a packet: a counter for each reason, and an event for people. The agent's
 * view of these structs is src/maps/event.rs. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "packet.h"
#include "reasons.h"

#define TC_ACT_SHOT 2 /* macros are not in the kernel's BTF, from which vmlinux.h is made */

enum hook {
	HOOK_FROM_POD,
	HOOK_TO_POD,
	HOOK_TO_NODE,
} __attribute__((packed)); /* one byte */

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} metrics_map SEC(".maps");

/* A drop, or a new connection. Addresses and ports in network byte order. */
struct event {
	__u64 time; /* ns since boot */
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 src_id; /* 0: not known */
	__u32 dst_id;
	__u32 ifindex;
	__u32 length;
	__u8 proto;
	enum reason reason;
	enum hook hook;
	__u8 reserved;
};

#define EVENTS_SIZE (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_SIZE);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

/* 1 while somebody listens: else no event is written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} listening_map SEC(".maps");

static __always_inline void count(__u32 reason, struct __sk_buff *skb)
{
	struct counter *counter = bpf_map_lookup_elem(&metrics_map, &reason);

	if (counter) {
		/* A large TCP packet is cut into segments later. */
		counter->packets += skb->gso_segs ?: 1;
		counter->bytes += skb->len;
	}
}

/* #region tell */
/* Never waits: with a full buffer the event is lost, and counted. Nor does it wake the agent, which
 * costs more than the verdict: the agent looks ten times a second, and is woken only when the buffer
 * becomes half full. */
static __always_inline void tell(struct __sk_buff *skb, const struct packet *packet, enum hook hook,
				 __u32 src_id, __u32 dst_id, enum reason reason)
{
	__u32 zero = 0, *listening = bpf_map_lookup_elem(&listening_map, &zero);

	if (!listening || !*listening)
		return;
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(EVENT_LOST, skb);
		return;
	}
	*event = (struct event){
		.time = bpf_ktime_get_ns(),
		.saddr = packet->saddr,
		.daddr = packet->daddr,
		.sport = packet->sport,
		.dport = packet->dport,
		.src_id = src_id,
		.dst_id = dst_id,
		.ifindex = packet->ifindex,
		.length = skb->len,
		.proto = packet->proto,
		.reason = reason,
		.hook = hook,
	};
	__u64 behind = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) - EVENTS_SIZE / 2;

	bpf_ringbuf_submit(event, behind < 2 * sizeof(*event) ? BPF_RB_FORCE_WAKEUP :
								 BPF_RB_NO_WAKEUP);
}
/* #endregion tell */

static __always_inline int drop(struct __sk_buff *skb, const struct packet *packet, enum hook hook,
				__u32 src_id, __u32 dst_id, enum reason reason)
{
	count(reason, skb);
	tell(skb, packet, hook, src_id, dst_id, reason);
	return TC_ACT_SHOT;
}
