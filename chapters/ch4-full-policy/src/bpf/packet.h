/* What a packet says of itself. Nothing here decides; what cannot be read is refused. */
#pragma once
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "reasons.h"

/* Macros are not in the kernel's BTF, from which vmlinux.h is made. */
#define ETH_ALEN 6
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET 0x1fff
#define IP_MAX_LENGTH 0xffff
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define SCTP_HEADER 12 /* RFC 9260: ports, verification tag, checksum */

/* Addresses and ports in network byte order. */
struct packet {
	__u32 ifindex; /* the veth's. Read once: clang may merge reads of two of skb's fields into
			* one through a computed pointer, which the verifier refuses */
	__be32 saddr;
	__be32 daddr;
	__be16 sport; /* an echo's id stands for the port of who asks, the other port is 0 */
	__be16 dport;
	__u8 proto; /* 0: it is ARP */
	bool fragment; /* the first one included */
	bool follows; /* a fragment that is not the first: it has no header of its own */
	__be16 id; /* the same in all fragments of a packet */
	bool has_ports; /* there are ports, and this packet holds them */
	bool opens; /* may be the first of a connection */
	bool answers; /* may be an answer to one */
	bool closes; /* FIN or RST */
	bool resets; /* RST */
	bool is_error; /* an ICMP error: it quotes the packet that caused it */
	__u8 source_mac[ETH_ALEN];
	bool to_group; /* the frame is for a multicast or broadcast MAC */
	__u32 l4; /* where the IPv4 header ends, from the start of the frame */
};

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
} __attribute__((packed));

/* The headers of TCP, UDP, SCTP and ICMP, as far as they are read here. */
union l4 {
	struct {
		__be16 source;
		__be16 dest;
	} ports;
	struct tcphdr tcp;
	struct icmphdr icmp;
};

/* How much of a protocol's header must be there; 0: a protocol that is judged without. */
static __always_inline __u32 header_size(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return sizeof(struct tcphdr);
	case IPPROTO_UDP:
		return sizeof(struct udphdr);
	case IPPROTO_ICMP:
		return sizeof(struct icmphdr);
	case IPPROTO_SCTP:
		return SCTP_HEADER;
	default:
		return 0;
	}
}

/* bpf_skb_load_bytes wants a constant size, hence the cases. It reads what is not linear too: packets
 * that AF_PACKET builds in a ring have nothing at all at skb->data. */
static __always_inline bool load_l4(struct __sk_buff *skb, __u32 offset, __u8 proto, union l4 *l4)
{
	switch (proto) {
	case IPPROTO_TCP:
		return !bpf_skb_load_bytes(skb, offset, l4, sizeof(struct tcphdr));
	case IPPROTO_SCTP:
		return !bpf_skb_load_bytes(skb, offset, l4, SCTP_HEADER);
	default: /* UDP, ICMP */
		return !bpf_skb_load_bytes(skb, offset, l4, sizeof(struct icmphdr));
	}
}

/* Ports, and what the packet can be in a connection. */
static __always_inline void read_l4(const union l4 *l4, struct packet *packet)
{
	packet->has_ports = true;
	packet->sport = l4->ports.source;
	packet->dport = l4->ports.dest;
	packet->opens = packet->answers = true;
	switch (packet->proto) {
	case IPPROTO_TCP:
		/* A lone SYN opens, SYN and ACK answer. All else may be either: after an
		 * eviction a connection goes on in its middle. */
		packet->answers = !l4->tcp.syn || l4->tcp.ack;
		packet->opens = !l4->tcp.rst && !(l4->tcp.syn && l4->tcp.ack);
		packet->resets = l4->tcp.rst;
		packet->closes = l4->tcp.fin || l4->tcp.rst;
		break;
	case IPPROTO_ICMP:
		/* A request never answers: else a pod that is pinged could ping back. */
		packet->opens = l4->icmp.type == ICMP_ECHO;
		packet->answers = l4->icmp.type == ICMP_ECHOREPLY;
		packet->has_ports = packet->opens || packet->answers;
		packet->sport = packet->opens ? l4->icmp.un.echo.id : 0;
		packet->dport = packet->answers ? l4->icmp.un.echo.id : 0;
		packet->is_error = l4->icmp.type == ICMP_DEST_UNREACH ||
				   l4->icmp.type == ICMP_TIME_EXCEEDED ||
				   l4->icmp.type == ICMP_PARAMETERPROB;
		break;
	}
}

/* #region parse */
/* Reads the headers; 0, or why the packet is dropped. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *packet)
{
	struct frame frame;
	union l4 l4 = {};

	packet->ifindex = skb->ifindex;
	/* The outer tag is in the metadata by now, a second one would be in h_proto. */
	if (skb->vlan_present)
		return DROP_VLAN;
	if (bpf_skb_load_bytes(skb, 0, &frame.eth, sizeof(frame.eth)))
		return DROP_INVALID;
	__builtin_memcpy(packet->source_mac, frame.eth.h_source, ETH_ALEN);
	packet->to_group = frame.eth.h_dest[0] & 1;
	if (frame.eth.h_proto == bpf_htons(ETH_P_ARP))
		return 0;
	if (frame.eth.h_proto == bpf_htons(ETH_P_8021Q) ||
	    frame.eth.h_proto == bpf_htons(ETH_P_8021AD))
		return DROP_VLAN;
	if (frame.eth.h_proto != bpf_htons(ETH_P_IP))
		return DROP_ETHERTYPE; /* IPv6 too: an address that nobody checks is a way round */

	if (bpf_skb_load_bytes(skb, sizeof(frame.eth), &frame.ip, sizeof(frame.ip)))
		return DROP_INVALID;
	__u32 header = frame.ip.ihl * 4, total = bpf_ntohs(frame.ip.tot_len);
	if (!total && skb->len > IP_MAX_LENGTH) /* BIG TCP: too large for the field */
		total = skb->len - sizeof(frame.eth);
	if (frame.ip.version != 4 || header < sizeof(frame.ip) || total < header ||
	    total > skb->len - sizeof(frame.eth) || !frame.ip.protocol)
		return DROP_INVALID;
	packet->saddr = frame.ip.saddr;
	packet->daddr = frame.ip.daddr;
	packet->proto = frame.ip.protocol;
	packet->l4 = sizeof(frame.eth) + header;
	packet->fragment = frame.ip.frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET);
	packet->follows = frame.ip.frag_off & bpf_htons(IP_OFFSET);
	packet->id = frame.ip.id;
	if (packet->follows)
		return 0;

	__u32 needed = header_size(packet->proto);
	if (!needed)
		return 0;
	if (total < header + needed || !load_l4(skb, packet->l4, packet->proto, &l4))
		return packet->fragment ? DROP_FRAGMENT : DROP_INVALID;
	read_l4(&l4, packet);
	return 0;
}
/* #endregion parse */
