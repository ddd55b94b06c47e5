//! What comes back through a Service, when the policies change while a connection is open.

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

use hand::{Hand, SERVICE};
use raw::{Tables, ip};
use scene::OUTSIDE;

const NOTHING: &str = "policyTypes: [Ingress, Egress]";
const CLIENT_PORT: u16 = 5000;

/// Isolated for ingress, too: only answers get in.
fn to(block: &str, port: u16) -> String {
    let ports = format!("ports: [{{ protocol: UDP, port: {port} }}]");
    format!("{NOTHING}, egress: [{{ to: [{{ ipBlock: {block} }}], {ports} }}]")
}

fn only(address: Ipv4Addr) -> String {
    format!("{{ cidr: {address}/32 }}")
}

/// Two Services with another target port: behind one is a pod, behind the other somebody outside.
fn scene() -> Hand {
    let s = Hand::new();
    s.service(80, ip(&s.server), 8080);
    s.service(53, OUTSIDE, 5353);
    s
}

/// Asks both, and they answer.
fn open(s: &Hand) {
    assert!(s.reaches_pod(&s.server, (SERVICE, 80)));
    assert!(s.reaches_outside(CLIENT_PORT, (SERVICE, 53)));
    answers_come(s, [true, true]);
}

/// Only they send from now on: the client says nothing more.
#[track_caller]
fn answers_come(s: &Hand, [pod, outside]: [bool; 2]) {
    assert_eq!(s.is_answered(&s.server, 8080, CLIENT_PORT), pod, "the pod's");
    assert_eq!(s.is_answered_from_outside(5353, CLIENT_PORT), outside, "from outside");
}

#[test]
fn r70_a_policy_that_allows_an_open_connection_through_a_service_loses_no_answer() {
    let s = scene();
    open(&s); // nothing isolates the client yet
    s.policy("client", &to(&only(ip(&s.server)), 8080));
    answers_come(&s, [true, false]);
    s.policy("client", &to(&only(OUTSIDE), 5353));
    answers_come(&s, [false, true]);
    s.no_policy("client");
    answers_come(&s, [true, true]);
}

#[test]
fn r70_answers_through_a_service_end_with_what_allows_the_question() {
    let s = scene();
    let both = format!(
        "{NOTHING}, egress: [{{ to: [{{ ipBlock: {} }}, {{ ipBlock: {} }}] }}]",
        only(ip(&s.server)),
        only(OUTSIDE)
    );
    s.policy("client", &both);
    open(&s);
    for (policy, come) in [
        (NOTHING.into(), [false, false]),
        (both.clone(), [true, true]),
        (to(&only(ip(&s.server)), 8080), [true, false]),
        (to(&only(ip(&s.server)), 80), [false, false]),
        (to(&only(OUTSIDE), 5353), [false, true]),
        (to(&only(OUTSIDE), 53), [false, false]),
        // By the Service's address neither is what it was.
        (to("{ cidr: 10.96.0.0/16 }", 80), [false, false]),
        (to("{ cidr: 0.0.0.0/0, except: [192.0.2.0/24] }", 5353), [false, false]),
    ] {
        s.policy("client", &policy);
        answers_come(&s, come);
    }
    s.no_policy("client");
    answers_come(&s, [true, true]);
}

#[test]
fn r70_answers_from_a_pod_end_with_what_lets_the_question_in() {
    let s = scene();
    s.policy("client", &to(&only(ip(&s.server)), 8080));
    assert!(s.reaches_pod(&s.server, (SERVICE, 80)));
    let is_answered = || s.is_answered(&s.server, 8080, CLIENT_PORT);
    for (policy, comes) in [
        ("ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }] }]", true),
        ("ingress: [{ ports: [{ protocol: UDP, port: 80 }] }]", false),
        ("ingress: [{ ports: [{ protocol: UDP, port: 8080 }] }]", true),
        ("ingress: []", false),
    ] {
        s.policy("server", policy);
        assert_eq!(is_answered(), comes, "{policy}");
    }
    s.no_policy("server");
    assert!(is_answered());
}

#[test]
fn r70_what_was_asked_is_remembered_as_long_as_a_connection() {
    let s = scene();
    s.policy("client", &to(&only(ip(&s.server)), 8080));
    assert!(s.reaches_pod(&s.server, (SERVICE, 80)));
    assert!(s.is_answered(&s.server, 8080, CLIENT_PORT));
    let expire = || {
        for mut table in Tables::open().unwrap().all().unwrap() {
            for (key, mut entry) in table.iter().map(Result::unwrap).collect::<Vec<_>>() {
                entry.expires = 1;
                table.insert(key, entry, 0).unwrap();
            }
        }
    };
    s.node.enter(expire).unwrap();
    assert!(!s.is_answered(&s.server, 8080, CLIENT_PORT));
    assert!(s.reaches_pod(&s.server, (SERVICE, 80)), "asked again");
    assert!(s.is_answered(&s.server, 8080, CLIENT_PORT));
}
