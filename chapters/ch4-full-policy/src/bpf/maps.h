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
#define EGRESS_ISOLATED 1 /* some policy isolates it for egress: see policy_map */

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

enum direction {
	EGRESS, /* what src_id's policies say */
	INGRESS, /* what dst_id's policies say */
};

/* The pair of numbers, and whose policies: the other one is the peer. */
struct policy_key {
	__u32 src_id; /* in INGRESS: or ID_ANY, whoever it is */
	__u32 dst_id; /* in EGRESS: or ID_ANY */
	__u32 direction;
};
struct policy {
	__u32 since; /* the first epoch in which this counts */
	__u32 ports; /* by which ports: a set in port_map, or one of the two below */
	__u32 blocks; /* with ID_ANY: from or to where, a set in block_map; 0: nowhere */
};
#define NO_PORTS 0
#define ALL_PORTS 1 /* of all protocols, those without ports too */

struct policy_entry {
	struct policy versions[2]; /* as in endpoint_entry */
	struct bpf_spin_lock lock;
	__u32 reserved;
	__u64 packets; /* let through by this entry, or by its blocks */
	__u64 bytes;
};

/* Who may talk to whom, by which ports. What is not in here is not allowed. Written by the agent
 * alone, but for the counters. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} policy_map SEC(".maps");
/* #endregion maps */

/* #region sets */
/* A set of ports, or of blocks, is never edited: other contents are another set, with a number of
 * its own. So a change of policy_map alone makes all of a change visible at once.
 *
 * The keys are prefixes, like a routing table's: the longest one that fits is found. */
struct port_key {
	__u32 prefixlen; /* bits that count, of what follows */
	__u32 set;
	__u8 proto;
	__u8 reserved;
	__be16 port;
};
#define PORT_BITS (8 * (sizeof(struct port_key) - sizeof(__u32)))

/* Which ports are in a set. A range is at most 30 prefixes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__type(key, struct port_key);
	__type(value, __u32); /* nothing that anybody reads */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} port_map SEC(".maps");

struct block_key {
	__u32 prefixlen;
	__u32 set;
	__be32 address;
};
#define BLOCK_BITS (8 * (sizeof(struct block_key) - sizeof(__u32)))

/* Which addresses are in a set, and by which ports: a set in port_map, or NO_PORTS for an `except`. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__type(key, struct block_key);
	__type(value, __u32);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} block_map SEC(".maps");
/* #endregion sets */

static __always_inline __u32 current_epoch(void)
{
	__u32 zero = 0;
	volatile __u32 *epoch = bpf_map_lookup_elem(&epoch_map, &zero);

	return epoch ? *epoch : 0;
}

/* #region at */
/* Which of two versions counts in an epoch: the younger one whose epoch has come; -1: none. */
static __always_inline int version_at(__u32 first, __u32 second, __u32 epoch)
{
	if (second <= epoch && (second > first || first > epoch))
		return 1;
	return first <= epoch ? 0 : -1;
}

/* Who has an address in an epoch. */
static __always_inline struct endpoint *endpoint_at(__be32 address, __u32 epoch)
{
	struct endpoint_entry *entry = bpf_map_lookup_elem(&endpoint_map, &address);

	if (!entry)
		return NULL;
	int version = version_at(entry->versions[0].since, entry->versions[1].since, epoch);

	if (version < 0)
		return NULL;
	struct endpoint *endpoint = version ? &entry->versions[1] : &entry->versions[0];

	return endpoint->identity ? endpoint : NULL;
}

/* What holds for a pair in an epoch; `entry` becomes where that stands. */
static __always_inline struct policy *policy_at(const struct policy_key *key, __u32 epoch,
						struct policy_entry **entry)
{
	*entry = bpf_map_lookup_elem(&policy_map, key);
	if (!*entry)
		return NULL;
	int version = version_at((*entry)->versions[0].since, (*entry)->versions[1].since, epoch);

	if (version < 0)
		return NULL;
	return version ? &(*entry)->versions[1] : &(*entry)->versions[0];
}
/* #endregion at */
