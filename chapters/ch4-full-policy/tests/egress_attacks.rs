//! What an isolated pod may try that can make packets by hand, alone or with somebody outside: each beside
//! what is honest and passes.

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

use hand::{Hand, MORE, SERVICE, datagram};
use raw::{UDP, frame, ip, ipv4, mac};
use scene::OUTSIDE;

/// Isolated in both directions; by UDP it may send to the server's port 80.
const SERVER_ONLY: &str = "policyTypes: [Ingress, Egress],
    egress: [{ to: [{ podSelector: { matchLabels: { app: server } } }],
               ports: [{ protocol: UDP, port: 80 }] }]";

#[test]
fn a_denied_question_invites_no_answer() {
    let s = Hand::new();
    s.service(53, OUTSIDE, 53);
    s.service(80, ip(&s.server), 80);
    s.policy("client", SERVER_ONLY);
    // An honest question through a Service, whose answer comes.
    assert!(s.reaches_pod(&s.server, (SERVICE, 80)));
    assert!(s.is_answered(&s.server, 80, 5000), "the connection is known by what was asked");
    for (what, to) in [("direct", (OUTSIDE, 53)), ("by a Service", (SERVICE, 53))] {
        assert!(!s.reaches_outside(5001, to), "{what}");
        assert!(!s.is_reached_from(to, 5001), "{what}");
        assert!(!s.is_reached_from((OUTSIDE, 53), 5001), "{what}");
    }
}

/// What was asked last is not what is allowed now: between them, a packet in two parts.
#[test]
fn a_fragment_that_waits_does_not_grant_what_was_asked_meanwhile() {
    let s = Hand::new();
    s.policy("client", SERVER_ONLY);
    let client = s.client.sandbox.clone().unwrap();
    let (whole, content) = datagram(5000, 80);
    let part = |field: u16, bytes: &[u8]| s.packet_from_client(ip(&s.server), UDP, field, bytes);
    s.client_sends(&part(MORE, &whole[..8]));
    assert!(!s.reaches_outside(5000, (OUTSIDE, 53)));
    let server = s.server.sandbox.clone().unwrap();
    assert!(s.arrives(&client, &server, &part(1, &content), &content), "the honest one");
    assert!(!s.is_reached_from((OUTSIDE, 53), 5000));
}

/// In pieces a packet waits for 30 seconds: as what is it judged when it is whole?
#[test]
fn what_was_begun_before_the_pod_was_isolated_does_not_end_outside() {
    let s = Hand::new();
    let client = s.client.sandbox.clone().unwrap();
    let part = |field: u16, bytes: &[u8]| s.packet_from_client(OUTSIDE, UDP, field, bytes);
    let ends_outside = |between: &dyn Fn()| {
        let (whole, content) = datagram(5000, 7);
        s.client_sends(&part(MORE, &whole[..8]));
        between();
        s.arrives(&client, &s.outside, &part(1, &content), &content)
    };
    assert!(ends_outside(&|| ()));
    assert!(!ends_outside(&|| s.policy("client", "policyTypes: [Egress]")));
}

/// Somebody outside asks as if it were the Service. When the node has forgotten that, an answer is a
/// question to the Service.
#[test]
fn who_poses_as_a_service_opens_no_way_to_what_is_behind_it() {
    let s = Hand::new();
    s.service(53, OUTSIDE, 7);
    s.policy("client", "policyTypes: [Egress]");
    assert!(!s.reaches_outside(5000, (SERVICE, 53)));
    assert!(s.is_reached_from((SERVICE, 53), 5000), "nothing isolates it for ingress");
    s.node.run(&["conntrack", "-F"]).unwrap();
    assert!(!s.reaches_outside(5000, (SERVICE, 53)));
}

/// Marks belong to everybody: some rule of somebody else may set its own.
#[test]
fn a_packet_whose_mark_somebody_took_is_not_let_out() {
    let s = Hand::new();
    s.policy("client", "policyTypes: [Egress]");
    assert!(!s.reaches_outside(5000, (OUTSIDE, 7)));
    s.node
        .sh("nft add table ip others
             nft 'add chain ip others pre { type filter hook prerouting priority mangle; }'
             nft add rule ip others pre meta mark set 7")
        .unwrap();
    assert!(!s.reaches_outside(5000, (OUTSIDE, 7)));
    s.no_policy("client");
    assert!(s.reaches_outside(5000, (OUTSIDE, 7)), "whom nothing isolates is not concerned");
}

#[test]
fn one_source_port_for_two_services_grants_the_allowed_one_only() {
    let s = Hand::new();
    s.service(80, ip(&s.server), 80);
    s.service(81, ip(&s.other), 80);
    s.policy("client", SERVER_ONLY);
    for _ in 0..3 {
        assert!(!s.reaches_pod(&s.other, (SERVICE, 81)));
        assert!(!s.is_reached_from((SERVICE, 81), 5000));
        assert!(s.reaches_pod(&s.server, (SERVICE, 80)));
        assert!(s.is_answered(&s.server, 80, 5000));
        assert!(!s.is_answered(&s.other, 80, 5000));
        assert!(!s.is_reached_from((SERVICE, 81), 5000));
    }
}

/// Another address family is no way round.
#[test]
fn r78_ipv6_is_dropped_whoever_sends_it() {
    let s = Hand::new();
    let [client, server] = [&s.client, &s.server].map(|it| it.sandbox.clone().unwrap());
    let packet = |ethertype: u16, packet: &[u8]| {
        frame(mac(ip(&s.server)), mac(ip(&s.client)), ethertype, packet)
    };
    let (payload, content) = datagram(5000, 80);
    let plain = ipv4(ip(&s.client), ip(&s.server), UDP, (&[], 0), &payload);
    let mut six = vec![0x60, 0, 0, 0, 0, payload.len() as u8, UDP, 64];
    six.extend([&[0xfe, 0x80][..], &[0; 13], &[1], &[0xfe, 0x80], &[0; 13], &[2]].concat());
    six.extend(&payload);
    for policy in [None, Some("policyTypes: [Egress], egress: [{}]")] {
        policy.iter().for_each(|spec| s.policy("client", spec));
        assert!(s.arrives(&client, &server, &packet(0x0800, &plain), &content));
        assert!(!s.arrives(&client, &server, &packet(0x86dd, &six), &content));
    }
}
