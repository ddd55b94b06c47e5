//! Packets made to look as if they were for an allowed port: each beside an honest one that passes.

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

use std::net::Ipv4Addr;

use hand::{Hand, NODE, SERVICE, datagram};
use raw::{ACK, FIN, ICMP, RST, SYN, TCP, UDP, frame, icmp, ip, ipv4, mac, tcp};
use scene::OUTSIDE;

const SCTP: u8 = 132;

/// The same rule in both directions: of the client's egress, and of the server's ingress.
fn rules(s: &Hand, ports: &str) -> [(&'static str, String); 2] {
    s.no_policies();
    [
        ("client", format!("policyTypes: [Ingress, Egress], egress: [{{ ports: {ports} }}]")),
        ("server", format!("ingress: [{{ ports: {ports} }}]")),
    ]
}

/// Does it arrive with the server, or outside?
fn arrives(s: &Hand, to: Ipv4Addr, protocol: u8, header: &[u8]) -> bool {
    let content: [u8; 8] = fastrand::u64(..).to_be_bytes();
    let packet = s.packet_from_client(to, protocol, 0, &[header, &content].concat());
    let place = if to == OUTSIDE { s.outside.clone() } else { s.server.sandbox.clone().unwrap() };
    s.arrives(s.client.sandbox.as_ref().unwrap(), &place, &packet, &content)
}

/// UDP's header around eight bytes of content.
fn udp(from: u16, to: u16) -> Vec<u8> {
    [from, to, 16, 0].map(u16::to_be_bytes).concat()
}

fn sctp(from: u16, to: u16) -> Vec<u8> {
    [&[from, to].map(u16::to_be_bytes).concat()[..], &[0; 8]].concat()
}

#[test]
fn r75_tcp_in_its_middle_is_judged_by_its_ports() {
    let s = Hand::new();
    for (whose, spec) in rules(&s, "[{ port: 80 }]") {
        s.no_policies();
        s.policy(whose, &spec);
        for flags in [ACK, FIN | ACK, RST, RST | ACK, SYN, SYN | ACK, 0, FIN, SYN | FIN] {
            assert!(arrives(&s, ip(&s.server), TCP, &tcp(5000 + u16::from(flags), 80, flags)));
            assert!(!arrives(&s, ip(&s.server), TCP, &tcp(5000, 81, flags)), "{whose} {flags:#x}");
        }
    }
    s.no_policies();
    s.policy("client", "policyTypes: [Egress], egress: [{ ports: [{ port: 80 }] }]");
    for flags in [ACK, RST, SYN, SYN | ACK] {
        assert!(!arrives(&s, OUTSIDE, TCP, &tcp(5000, 81, flags)), "{flags:#x}");
    }
    assert!(arrives(&s, OUTSIDE, TCP, &tcp(5001, 80, SYN)));
}

#[test]
fn r76_a_source_port_that_is_an_allowed_port_is_nothing() {
    let s = Hand::new();
    for (whose, spec) in rules(&s, "[{ port: 80 }, { protocol: UDP, port: 80 }]") {
        s.no_policies();
        s.policy(whose, &spec);
        for (protocol, header) in
            [(TCP, &(|from, to| tcp(from, to, ACK)) as &dyn Fn(_, _) -> _), (UDP, &udp)]
        {
            assert!(!arrives(&s, ip(&s.server), protocol, &header(80, 81)), "{whose} {protocol}");
            assert!(arrives(&s, ip(&s.server), protocol, &header(81, 80)), "{whose} {protocol}");
        }
    }
}

#[test]
fn one_protocols_ports_are_not_anothers() {
    let s = Hand::new();
    let all = [("TCP", TCP), ("UDP", UDP), ("SCTP", SCTP)];
    for (name, allowed) in all {
        for (whose, spec) in rules(&s, &format!("[{{ protocol: {name}, port: 80 }}]")) {
            s.no_policies();
            s.policy(whose, &spec);
            for (protocol, header) in
                [(TCP, tcp(5000, 80, SYN)), (UDP, udp(5000, 80)), (SCTP, sctp(5000, 80))]
            {
                let passes = arrives(&s, ip(&s.server), protocol, &header);
                assert_eq!(passes, protocol == allowed, "{whose} {name} {protocol}");
            }
        }
    }
}

/// Thirty prefixes, the most that a range can be.
#[test]
fn a_range_ends_where_it_ends() {
    let s = Hand::new();
    for (ports, inside, outside) in [
        ("[{ port: 1, endPort: 65535 }]", &[1, 65535][..], &[0][..]),
        ("[{ port: 2, endPort: 65534 }]", &[2, 3, 65533, 65534], &[0, 1, 65535]),
        ("[{ port: 32767, endPort: 32768 }]", &[32767, 32768], &[32766, 32769, 0, 65535]),
        ("[{ port: 65535 }]", &[65535], &[65534, 0]),
        ("[{}]", &[0, 1, 65535], &[]),
    ] {
        for (whose, spec) in rules(&s, ports) {
            s.no_policies();
            s.policy(whose, &spec);
            for (ports, is_inside) in [(inside, true), (outside, false)] {
                for port in ports {
                    let passes = arrives(&s, ip(&s.server), TCP, &tcp(5000, *port, SYN));
                    assert_eq!(passes, is_inside, "{whose} {ports:?} {port}");
                }
            }
        }
    }
}

/// Options push the ports away; what stands in their place says an allowed port.
#[test]
fn ip_options_are_no_ports() {
    let s = Hand::new();
    let options = [1; 40]; // "no operation": as ports, 257
    for (whose, spec) in rules(&s, "[{ protocol: UDP, port: 257 }]") {
        s.no_policies();
        s.policy(whose, &spec);
        for (port, is_open) in [(257, true), (81, false)] {
            let (payload, content) = datagram(5000, port);
            let packet = ipv4(ip(&s.client), ip(&s.server), UDP, (&options, 0), &payload);
            let packet = frame(mac(ip(&s.server)), mac(ip(&s.client)), 0x0800, &packet);
            let [client, server] = [&s.client, &s.server].map(|it| it.sandbox.clone().unwrap());
            assert_eq!(s.arrives(&client, &server, &packet, &content), is_open, "{whose} {port}");
        }
    }
}

#[test]
fn r71_an_icmp_error_passes_if_the_port_that_it_quotes_is_allowed() {
    let s = Hand::new();
    s.service(53, ip(&s.server), 80);
    s.service(54, ip(&s.server), 81);
    let [client, server] = [&s.client, &s.server].map(|it| it.sandbox.clone().unwrap());
    let quotes = |from: u16, to: u16| {
        let quoted = ipv4(ip(&s.client), ip(&s.server), UDP, (&[], 0), &udp(from, to));
        let content: [u8; 8] = fastrand::u64(..).to_be_bytes();
        let error = icmp(3, 0, &[&quoted[..], &content].concat());
        s.arrives(
            &server,
            &client,
            &s.packet_from(&s.server, ip(&s.client), ICMP, 0, &error),
            &content,
        )
    };
    let by_port = |port: u16| {
        let ports = format!("[{{ protocol: UDP, port: {port} }}]");
        s.policy(
            "client",
            &format!("policyTypes: [Ingress, Egress], egress: [{{ ports: {ports} }}]"),
        );
    };
    by_port(80);
    assert!(s.reaches_pod(&s.server, (ip(&s.server), 80)));
    assert!(!s.reaches_pod(&s.server, (ip(&s.server), 81)));
    assert!(quotes(5000, 80));
    assert!(!quotes(5000, 81), "asked in vain");
    assert!(!quotes(5001, 80), "not asked");
    by_port(81);
    assert!(!quotes(5000, 80), "not allowed any more");
    assert!(s.reaches_pod(&s.server, (ip(&s.server), 81)) && quotes(5000, 81));
    // Of what a Service has led to it the server sees its own address.
    s.node.run(&["conntrack", "-F"]).unwrap();
    assert!(s.reaches_pod_from(5002, &s.server, (SERVICE, 54)));
    assert!(!s.reaches_pod_from(5003, &s.server, (SERVICE, 53)));
    assert!(quotes(5002, 81));
    assert!(!quotes(5003, 80));
    // From outside: a router on the way, who is told the node's address.
    s.policy(
        "client",
        "policyTypes: [Ingress, Egress], egress: [{ ports: [{ protocol: UDP, port: 7 }] }]",
    );
    let told = |port: u16| {
        let quoted = ipv4(NODE, OUTSIDE, UDP, (&[], 0), &udp(5000, port));
        let content: [u8; 8] = fastrand::u64(..).to_be_bytes();
        let error = icmp(11, 0, &[&quoted[..], &content].concat());
        let packet = s.packet_from_outside([192, 0, 2, 9].into(), NODE, ICMP, &error);
        s.comes(&s.outside, &client, &[&packet], &content)
    };
    assert!(s.reaches_outside(5000, (OUTSIDE, 7)));
    assert!(told(7));
    assert!(!s.reaches_outside(5000, (OUTSIDE, 8)));
    assert!(!told(8));
}
