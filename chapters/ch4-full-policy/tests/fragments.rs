//! Packets in pieces: the first is judged by its ports, the others follow it. And what is made to look as
//! if it were one.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
mod hand;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/raw/mod.rs"]
mod raw;
#[path = "../../ch3-identity-policy/tests/scene/mod.rs"]
mod scene;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use hand::{Hand, MORE, SERVICE, datagram, with_content};
use lab::Sandbox;
use raw::{ACK, SYN, TCP, UDP, ip, tcp};
use scene::OUTSIDE;

const PATIENCE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_millis(500);
const SIZE: usize = 4000;

/// Isolated in both directions; by UDP and TCP it may send to port 80, of pods and outside.
const PORT_80: &str = "policyTypes: [Ingress, Egress],
    egress: [{ ports: [{ protocol: UDP, port: 80 }, { port: 80 }] }]";

fn socket(s: &Hand, place: &Sandbox, port: u16) -> UdpSocket {
    place.enter(&s.node, || UdpSocket::bind(("0.0.0.0", port)).unwrap()).unwrap()
}

/// Does a large datagram arrive, and its answer, which is as large?
fn round_trip(s: &Hand, server: &Sandbox, to: (Ipv4Addr, u16), port: u16) -> [bool; 2] {
    let client = socket(s, s.client.sandbox.as_ref().unwrap(), 0);
    let server = socket(s, server, port);
    let mut buffer = [0; 2 * SIZE];
    let arrives = |socket: &UdpSocket, buffer: &mut [u8]| {
        socket.set_read_timeout(Some(SETTLE)).unwrap();
        socket.recv_from(buffer).ok().map(|(length, from)| (length == SIZE).then_some(from))
    };
    client.send_to(&[7; SIZE], to).unwrap();
    let Some(Some(from)) = arrives(&server, &mut buffer) else { return [false, false] };
    server.send_to(&[8; SIZE], from).unwrap();
    [true, arrives(&client, &mut buffer).is_some()]
}

/// On a slow machine what is allowed may take more than one try.
#[track_caller]
fn expect_round_trip(s: &Hand, server: &Sandbox, to: (Ipv4Addr, u16), port: u16) {
    let whole = || round_trip(s, server, to, port) == [true, true];
    assert!(lab::wait_until(PATIENCE, whole), "{to:?}");
}

#[test]
fn r74_fragments_pass_as_the_first_and_so_do_those_of_an_answer() {
    let s = Hand::new();
    let server = s.server.sandbox.clone().unwrap();
    s.service(53, ip(&s.server), 80);
    s.service(54, OUTSIDE, 80);
    s.service(80, ip(&s.server), 81);
    s.policy("client", PORT_80);
    s.policy("server", "ingress: [{ ports: [{ protocol: UDP, port: 80 }] }]");
    expect_round_trip(&s, &server, (ip(&s.server), 80), 80);
    expect_round_trip(&s, &s.outside, (OUTSIDE, 80), 80);
    expect_round_trip(&s, &server, (SERVICE, 53), 80);
    expect_round_trip(&s, &s.outside, (SERVICE, 54), 80);
    for (place, to, port) in [
        (&server, (ip(&s.server), 81), 81),
        (&server, (SERVICE, 80), 81),
        (&s.outside, (OUTSIDE, 81), 81),
    ] {
        assert_eq!(round_trip(&s, place, to, port), [false, false], "{to:?}");
    }
    // It is the server's policy that ends it.
    s.policy("client", "policyTypes: [Ingress, Egress], egress: [{}]");
    assert_eq!(round_trip(&s, &server, (ip(&s.server), 81), 81), [false, false]);
    expect_round_trip(&s, &s.outside, (OUTSIDE, 81), 81);
}

#[test]
fn r74_without_its_first_no_fragment_passes() {
    let s = Hand::new();
    s.policy("client", PORT_80);
    let client = s.client.sandbox.clone().unwrap();
    let server = s.server.sandbox.clone().unwrap();
    // On the bridge conntrack waits for the first one. Without it each piece goes its way alone.
    for is_whole in [true, false] {
        for (place, to) in [(&server, ip(&s.server)), (&s.outside, OUTSIDE)] {
            let id = fastrand::u16(1..0xfff0);
            let (whole, content) = datagram(5000, 80);
            let last = with_id(s.packet_from_client(to, UDP, 1, &content), id);
            assert!(!s.comes(&client, place, &[&last], &content), "{is_whole} {to}");
            let first = with_id(s.packet_from_client(to, UDP, MORE, &whole[..8]), id);
            let pieces = if is_whole { &[&*first][..] } else { &[&*first, &*last][..] };
            assert!(s.comes(&client, place, pieces, &content), "{is_whole} {to}: as the first");
            let (denied, content) = datagram(5000, 81);
            let denied = with_id(s.packet_from_client(to, UDP, MORE, &denied[..8]), id + 1);
            let last = with_id(s.packet_from_client(to, UDP, 1, &content), id + 1);
            assert!(!s.comes(&client, place, &[&denied, &last], &content), "{is_whole} {to}: 81");
        }
        s.node
            .sh("ip link set bridge0 type bridge nf_call_iptables 0
                 echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")
            .unwrap();
    }
}

/// The packet that a piece belongs to.
fn with_id(mut frame: Vec<u8>, id: u16) -> Vec<u8> {
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    let sum = u32::from(!u16::from_be_bytes([frame[24], frame[25]])) + u32::from(id);
    frame[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    frame
}

/// RFC 1858 and 3128: what a later piece would write over the ports or the flags of the first.
#[test]
fn overlapping_pieces_open_no_other_port_and_no_connection() {
    let s = Hand::new();
    s.policy("client", PORT_80);
    let client = s.client.sandbox.clone().unwrap();
    let server = s.server.sandbox.clone().unwrap();
    for (place, to) in [(&server, ip(&s.server)), (&s.outside, OUTSIDE)] {
        let piece =
            |proto: u8, field: u16, bytes: &[u8]| s.packet_from_client(to, proto, field, bytes);
        let content: [u8; 8] = fastrand::u64(..).to_be_bytes();
        let first = |port: u16| piece(UDP, MORE, &with_content(5000, port, &[0; 24])[..24]);
        let last = piece(UDP, 3, &content);
        // Two first ones: what is made of them is for port 80, or nothing at all.
        for firsts in [[first(80), first(81)], [first(81), first(80)]] {
            let there = place.enter(&s.node, || raw::RawSocket::on("eth0")).unwrap();
            firsts.iter().for_each(|it| s.send(&client, it));
            s.send(&client, &last);
            let for_81 = |heard: &[u8]| {
                heard[23] == UDP
                    && heard[26..30] == ip(&s.client).octets()
                    && heard[36..38] == [0, 81]
            };
            assert!(!there.hears_any(for_81, SETTLE));
        }
        // TCP's flags are at byte 13: a piece at byte 8 makes a SYN of an ACK, or another port's of all.
        let head = piece(TCP, MORE, &[&tcp(5000, 80, ACK)[..], &content].concat()[..24]);
        let over = piece(TCP, 1, &[&[0, 0, 0, 0, 0x50, SYN, 0xff, 0xff][..], &content].concat());
        assert!(!s.comes(&client, place, &[&head, &over], &content), "over the flags");
        // Too short for TCP's header: dropped where it leaves the pod.
        let tiny = piece(TCP, MORE, &tcp(5000, 80, SYN)[..8]);
        let rest = piece(TCP, 1, &[&tcp(5000, 80, SYN)[8..], &content[..]].concat());
        assert!(!s.comes(&client, place, &[&tiny, &rest], &content), "a tiny first one");
    }
    expect_round_trip(&s, &server, (ip(&s.server), 80), 80);
}
