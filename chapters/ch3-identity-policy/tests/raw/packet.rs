//! Packets made by hand, byte by byte.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

pub type Mac = [u8; 6];
pub const BROADCAST: Mac = [0xff; 6];
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A pod's MAC, as the plugin gives it.
pub fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// An Ethernet frame.
pub fn frame(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with options (a multiple of 4 bytes) and fragment field.
pub fn ipv4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    (options, fragment): (&[u8], u16),
    payload: &[u8],
) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let mut packet = vec![0; 20];
    packet[0] = 0x40 | words as u8;
    packet[2..4].copy_from_slice(&((words * 4 + payload.len()) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = 64;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet.extend(options);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(*it.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A UDP datagram without checksum.
pub fn udp(from: u16, to: u16) -> Vec<u8> {
    [from, to, 8, 0].map(u16::to_be_bytes).concat()
}

/// A TCP header; nobody gets as far as its checksum.
pub fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let ports = [from, to].map(u16::to_be_bytes).concat();
    [&ports[..], &[0; 8], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
}

/// An ICMP message of a type, with an echo's id or nothing, and what it quotes.
pub fn icmp(kind: u8, id: u16, quoted: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], &id.to_be_bytes(), &[0, 1], quoted].concat();
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// An ARP message: 1 asks, 2 answers.
pub fn arp(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [1u16, 0x0800, 0x0604, operation].map(u16::to_be_bytes).concat();
    let (sender_ip, target_ip) = (sender.1.octets(), target.1.octets());
    [&head[..], &sender.0, &sender_ip, &target.0, &target_ip].concat()
}

/// Makes a frame one of a length that no other shot has: its event is known by that. What
/// follows a whole IPv4 packet would be cut off on the way, so the packet itself grows.
pub fn unique(mut frame: Vec<u8>) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(200);
    let length = NEXT.fetch_add(5, Ordering::Relaxed) as usize; // 4 may be a VLAN tag's
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let is_whole = frame[12..14] == [8, 0] && frame[14] >> 4 == 4 && total == frame.len() - 14;
    frame.resize(length, 0);
    if is_whole {
        let header = 14..14 + usize::from(frame[14] & 15) * 4;
        frame[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
        frame[24..26].fill(0);
        let checksum = checksum(&frame[header]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}
