/* Does what comes out of a veth come from the pod behind it? */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "packet.h"

#define ARPHRD_ETHER 1
#define IPV4_ALEN 4

struct arp {
	struct arphdr header;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	int differ = 0;

	for (int i = 0; i < ETH_ALEN; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/* The endpoint behind this veth, if it has this address. */
static __always_inline struct endpoint *own_endpoint(const struct packet *packet, __be32 address,
						     __u32 epoch)
{
	struct endpoint *endpoint = endpoint_at(address, epoch);

	return endpoint && endpoint->ifindex == packet->ifindex ? endpoint : NULL;
}

/* ARP may speak of the pod's own address and MAC only: else it could draw to itself what is
 * for its neighbours. */
static __always_inline bool arp_is_honest(struct __sk_buff *skb, const struct packet *packet,
					  __u32 epoch)
{
	struct arp arp;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)))
		return false;
	if (arp.header.ar_hrd != bpf_htons(ARPHRD_ETHER) ||
	    arp.header.ar_pro != bpf_htons(ETH_P_IP) || arp.header.ar_hln != ETH_ALEN ||
	    arp.header.ar_pln != IPV4_ALEN)
		return false;
	/* Sender 0.0.0.0 asks whether somebody has the address already (RFC 5227): its own. */
	struct endpoint *me = own_endpoint(packet, arp.sender ?: arp.target, epoch);

	return me && same_mac(me->mac, arp.sender_mac) && same_mac(me->mac, packet->source_mac);
}
