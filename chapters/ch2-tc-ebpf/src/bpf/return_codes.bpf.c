/* What a program's return code does to a packet: three programs to attach by hand.
 * In direct action mode the code itself is the decision. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define TC_ACT_OK 0   /* go on */
#define TC_ACT_SHOT 2 /* drop */

char _license[] SEC("license") = "Dual MIT/GPL";

SEC("tc")
int ok(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("tc")
int shot(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

/* Out by the link it came from: the pod gets its own packets back. bpf_redirect returns
 * TC_ACT_REDIRECT (7) and remembers where to. */
SEC("tc")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect(skb->ifindex, 0);
}
