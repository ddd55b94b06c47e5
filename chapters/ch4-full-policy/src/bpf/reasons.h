/* Why a packet is dropped. The agent has the same list, with names for people: src/maps/event.rs. */
#pragma once

enum reason {
	FORWARDED, /* no reason: an event of a new connection */
	DROP_INVALID, /* short or odd headers */
	DROP_ETHERTYPE, /* neither IPv4 nor ARP */
	DROP_VLAN,
	DROP_SPOOFED, /* the source is not who sends */
	DROP_GROUP, /* multicast and broadcast */
	DROP_NOT_ITS_OWN, /* flooded to a pod whose address it does not carry */
	DROP_FRAGMENT, /* without a whole header, or without its first one */
	DROP_POLICY, /* nothing lets it in */
	DROP_EGRESS, /* nothing lets it out */
	DROP_UNRELATED, /* an ICMP error that quotes no known connection */
	DROP_ANSWER, /* to a connection that is not allowed any more */
	EVENT_LOST, /* not a drop: the ring buffer was full */
	CT_FULL, /* not a drop: a connection could not be remembered */
	REASONS,
} __attribute__((packed)); /* one byte */
