/* Step 0: the talk's program. Decides on what a pod sends, by two look-ups and a third. */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Macros are not in the kernel's BTF, from which vmlinux.h is made. */
#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define ETH_P_IP 0x0800
#define ACTION_ALLOW 1

/* #region maps */
struct policy_key {
	__u32 src_id;
	__u32 dst_id;
};

/* Pod IPv4 address, in network byte order, to identity. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __be32);
	__type(value, __u32);
} endpoint_map SEC(".maps");

/* Who may talk to whom. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct policy_key);
	__type(value, __u8);
} policy_map SEC(".maps");
/* #endregion maps */

char _license[] SEC("license") = "Dual MIT/GPL";

/* #region program */
SEC("tc")
int simple_tc_parser(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *iph = (void *)(eth + 1);

	/* Without this check the verifier refuses the program: it might read past the packet. A
	 * frame without room for an IPv4 header is none: it passes. */
	if ((void *)(iph + 1) > data_end)
		return TC_ACT_OK;

	/* ARP, IPv6 and the rest have no IPv4 addresses to look up (the slide takes whatever lies
	 * there for some). A VLAN tag is in skb's metadata by now: h_proto is the inner one. */
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;

	/* #region decide */
	__u32 *src_id = bpf_map_lookup_elem(&endpoint_map, &iph->saddr);
	if (!src_id)
		return TC_ACT_SHOT;
	__u32 *dst_id = bpf_map_lookup_elem(&endpoint_map, &iph->daddr);
	if (!dst_id)
		return TC_ACT_SHOT;

	struct policy_key key = { *src_id, *dst_id };
	__u8 *action = bpf_map_lookup_elem(&policy_map, &key);
	if (action && *action == ACTION_ALLOW)
		return TC_ACT_OK;
	return TC_ACT_SHOT;
	/* #endregion decide */
}
/* #endregion program */
