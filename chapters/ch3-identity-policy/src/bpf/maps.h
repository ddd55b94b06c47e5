/* What the agent and the programs share. All maps are pinned in /sys/fs/bpf/tc/globals, so that
 * they outlive both. The agent's view of these structs is src/maps.rs. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* Identities below 256 are reserved, with Cilium's numbers. */
#define ID_ANY 0 /* only in policy_map's keys: anybody */
#define ID_HOST 1
#define ID_WORLD 2

/* #region epoch */
/* A change is many writes, and no packet may see half of them. So whatever is written says from
 * which epoch on it counts, and the agent makes a change visible at once by adding one to the
 * epoch. A program reads it once, first of all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} epoch_map SEC(".maps");
/* #endregion epoch */

/* #region maps */
struct endpoint {
	__u32 since; /* the first epoch in which this counts */
	__u32 identity; /* 0: nobody has the address */
	__u32 ifindex; /* the host end of its veth; 0: a pod of another node */
	__u32 generation; /* another one whenever the address is given to a pod */
	__u32 id; /* its number on this node: which of ct_map's tables are its own */
	__u16 flags;
	__u8 mac[6];
};
#define EGRESS_ISOLATED 1 /* some policy isolates it for egress */

/* What is, and what was before or will be in a moment. The lock makes the agent's update write
 * in place (BPF_F_LOCK): otherwise a program that holds the old value may find another
 * address's in its memory. */
struct endpoint_entry {
	struct endpoint versions[2];
	struct bpf_spin_lock lock;
};

/* Pod IPv4 address, in network byte order, to who it is. Written by the agent alone; only DEL without
 * an agent takes an entry out, when nobody is there to give its memory to another. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __be32);
	__type(value, struct endpoint_entry);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} endpoint_map SEC(".maps");

struct policy_key {
	__u32 src_id; /* or ID_ANY: dst_id is not isolated, or allows all */
	__u32 dst_id;
};
struct policy_entry {
	__u32 action;
	__u32 since; /* the first epoch in which this counts */
	__u32 until; /* the first in which it does not any more; 0: no end yet */
	struct bpf_spin_lock lock;
	__u64 packets; /* let through by this entry */
	__u64 bytes;
};
#define ACTION_ALLOW 1

/* Who may talk to whom. What is not in here is not allowed. Written by the agent alone, but
 * for the counters. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} policy_map SEC(".maps");
/* #endregion maps */

static __always_inline __u32 current_epoch(void)
{
	__u32 zero = 0;
	volatile __u32 *epoch = bpf_map_lookup_elem(&epoch_map, &zero);

	return epoch ? *epoch : 0;
}

/* #region at */
/* Who has an address in an epoch: the younger version, unless it does not count yet. */
static __always_inline struct endpoint *endpoint_at(__be32 address, __u32 epoch)
{
	struct endpoint_entry *entry = bpf_map_lookup_elem(&endpoint_map, &address);

	if (!entry)
		return NULL;
	__u32 first = entry->versions[0].since, second = entry->versions[1].since;
	bool is_second = second <= epoch && (second > first || first > epoch);
	struct endpoint *endpoint = is_second ? &entry->versions[1] : &entry->versions[0];

	if (!is_second && first > epoch)
		return NULL;
	return endpoint->identity ? endpoint : NULL;
}

/* The entry of a pair, if it counts in an epoch. */
static __always_inline struct policy_entry *policy_at(__u32 src_id, __u32 dst_id, __u32 epoch)
{
	struct policy_key key = { src_id, dst_id };
	struct policy_entry *entry = bpf_map_lookup_elem(&policy_map, &key);

	if (!entry)
		return NULL;
	/* The end first: of a dead pair that is to count again the agent writes both. With a new end
	 * and an old beginning it would count at once. */
	__u32 until = *(volatile __u32 *)&entry->until, since = *(volatile __u32 *)&entry->since;

	return since <= epoch && (!until || until > epoch) ? entry : NULL;
}
/* #endregion at */
