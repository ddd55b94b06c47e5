/* What the agent and the programs share. All maps are pinned in /sys/fs/bpf/tc/globals, so that
 * they outlive both. The agent's view of these structs is src/maps.rs. */

/* Identities below 256 are reserved, with Cilium's numbers. */
#define ID_ANY 0 /* only in policy_map's keys: whoever it is */
#define ID_HOST 1
#define ID_WORLD 2

/* #region maps */
struct endpoint {
	__u32 identity;
	__u32 ifindex; /* the host end of its veth; 0: a pod of another node */
	__u32 generation; /* another one whenever the address is given to a pod */
	__u16 flags;
	__u8 mac[6];
};
#define EGRESS_ISOLATED 1 /* some policy isolates it for egress */

/* Pod IPv4 address, in network byte order, to who it is. Written by the agent alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __be32);
	__type(value, struct endpoint);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} endpoint_map SEC(".maps");

struct policy_key {
	__u32 src_id; /* or ID_ANY: dst_id is not isolated, or allows all */
	__u32 dst_id;
};
struct policy_entry {
	__u32 action;
	__u32 reserved;
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

static __always_inline struct endpoint *endpoint_at(__be32 address)
{
	return bpf_map_lookup_elem(&endpoint_map, &address);
}
