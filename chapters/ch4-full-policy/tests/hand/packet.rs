//! Who sends what to whom.

use std::net::Ipv4Addr;

use lab::Pod;

use super::{GATEWAY, Hand};
use crate::raw::{frame, ip, ipv4, mac};
use crate::scene::UPLINK;

impl Hand {
    /// What the client sends to a pod, or out of the pods' network.
    pub fn packet_from_client(
        &self,
        to: Ipv4Addr,
        protocol: u8,
        fragment: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        self.packet_from(&self.client, to, protocol, fragment, payload)
    }

    pub fn packet_from(
        &self,
        pod: &Pod,
        to: Ipv4Addr,
        protocol: u8,
        fragment: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        let packet = ipv4(ip(pod), to, protocol, (&[], fragment), payload);
        let is_pod = to.octets()[..3] == [10, 13, 0];
        frame(mac(if is_pod { to } else { GATEWAY }), mac(ip(pod)), 0x0800, &packet)
    }

    /// What somebody outside sends, under any address.
    pub fn packet_from_outside(
        &self,
        source: Ipv4Addr,
        to: Ipv4Addr,
        protocol: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let packet = ipv4(source, to, protocol, (&[], 0), payload);
        frame(UPLINK, [2, 0, 0, 0, 0, 9], 0x0800, &packet)
    }
}

/// A datagram whose content nobody else's has.
pub fn datagram(from: u16, to: u16) -> (Vec<u8>, [u8; 8]) {
    let content: [u8; 8] = fastrand::u64(..).to_be_bytes();
    (with_content(from, to, &content), content)
}

/// A datagram without checksum.
pub fn with_content(from: u16, to: u16, content: &[u8]) -> Vec<u8> {
    let length = (8 + content.len()) as u16;
    [&[from, to, length, 0].map(u16::to_be_bytes).concat()[..], content].concat()
}
