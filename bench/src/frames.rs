//! TCP packets made by hand.

use std::net::Ipv4Addr;

use ch3_identity_policy::veth::mac_for;

/// Opens a connection.
pub const SYN: u8 = 2;
/// Goes on with one.
pub const ACK: u8 = 16;

/// A frame with a TCP header and nothing behind it. Nobody gets as far as the checksums.
pub fn tcp(
    (source, source_port): (Ipv4Addr, u16),
    (destination, destination_port): (Ipv4Addr, u16),
    flags: u8,
) -> Vec<u8> {
    let mut ip = vec![0; 20];
    ip[0] = 0x45;
    ip[3] = 40; // both headers
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&source.octets());
    ip[16..20].copy_from_slice(&destination.octets());
    let ports = [source_port, destination_port].map(u16::to_be_bytes).concat();
    let tcp = [&ports[..], &[0; 8], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat();
    [&mac_for(destination)[..], &mac_for(source), &[8, 0], &ip, &tcp].concat()
}
