/* Prints every IPv4 packet that a pod sends; lets everything pass. */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Macros are not in the kernel's BTF, from which vmlinux.h is made. */
#define TC_ACT_OK 0
#define ETH_P_IP 0x0800

/* bpf_printk's helper is for GPL-compatible programs only. */
char _license[] SEC("license") = "Dual MIT/GPL";

/* #region program */
/* #region packet */
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
/* #endregion packet */

/* #region print */
	/* ARP, IPv6 and the rest have no IPv4 addresses to print (the slide takes whatever lies
	 * there for some). A VLAN tag is in skb's metadata by now: h_proto is the inner one. */
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;

	/* #region decide */
	bpf_printk("TC: Got a packet from 0x%x to 0x%x",
		   bpf_ntohl(iph->saddr), bpf_ntohl(iph->daddr));
	return TC_ACT_OK;
	/* #endregion decide */
}
/* #endregion print */
/* #endregion program */
