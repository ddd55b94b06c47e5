//! By which port, by which name, from where, and by whose policies.

use super::*;
use crate::api::NamedPort;

/// The same by one protocol and port, with the policies' specs alone: is it allowed, and what is
/// said?
#[track_caller]
fn check_port(
    specs: &[&str],
    (source, destination): (FlowEnd, FlowEnd),
    (protocol, port): (u8, u16),
    allowed: bool,
    names: &str,
) {
    let policies: Vec<_> = specs.iter().map(|spec| policy("p", spec)).collect();
    let wish = Wish { protocol, port: (protocol != ICMP).then_some(port) };
    let it = explain(&policies, &source, &destination, Some(wish));
    assert_eq!(it.allowed, allowed, "{it:#?}");
    assert_eq!(it.ports, None, "who asks for a port knows which");
    assert!(said(&it).contains(names), "{names:?} is not in:\n{}", said(&it));
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The same end, and what its container calls a port.
fn naming(mut end: FlowEnd, name: &str, protocol: u8, number: u16) -> FlowEnd {
    let port = NamedPort { name: name.into(), protocol, number };
    end.labels.as_mut().unwrap().ports.insert(port);
    end
}

/// The same end, with an address.
fn at(mut end: FlowEnd, address: &str) -> FlowEnd {
    end.address = Some(address.parse().unwrap());
    end
}

/// Isolates all of the namespace, and lets in by this rule.
fn ingress(rule: &str) -> String {
    format!("{{podSelector: {{}}, ingress: [{rule}]}}")
}

/// Isolates `app=q` for egress, and lets it out by this rule.
fn egress(rule: &str) -> String {
    let subject = "podSelector: {matchLabels: {app: q}}";
    format!("{{{subject}, policyTypes: [Egress], egress: [{rule}]}}")
}

#[test]
fn what_lacks_is_the_port_the_protocol_or_that_there_is_none() {
    let one = ingress("{ports: [{port: 80}]}");
    let ends = || (a(""), backend());
    check_port(&[&one], ends(), (TCP, 80), true, "a/p spec.ingress[0]");
    let miss = |spec: &str, wish, names| check_port(&[spec], ends(), wish, false, names);
    miss(&one, (TCP, 81), "a/p spec.ingress[0]: its port must be 80/TCP, and is 81/TCP\n");
    miss(&one, (ICMP, 0), "its port must be 80/TCP, and ICMP and its like have none\n");
    let means = "and is 80/UDP (the rule means TCP, since it says no protocol; add UDP)\n";
    miss(&one, (UDP, 80), means);
    miss(&one, (SCTP, 80), "since it says no protocol; add SCTP)\n");
    miss(&one, (UDP, 81), "its port must be 80/TCP, and is 81/UDP\n");
    // Whoever says TCP means it.
    let says = ingress("{ports: [{port: 80, protocol: TCP}]}");
    miss(&says, (UDP, 80), "its port must be 80/TCP, and is 80/UDP\n");
    let range = ingress("{ports: [{port: 80, endPort: 82}, {port: 53, protocol: UDP}]}");
    check_port(&[&range], ends(), (TCP, 82), true, "a/p spec.ingress[0]");
    miss(&range, (TCP, 83), "its port must be 80-82/TCP, 53/UDP, and is 83/TCP\n");
    miss(&ingress("{ports: [{}]}"), (ICMP, 0), "its port must be ANY/TCP, and ICMP");
    check_port(&[&ingress("{}")], ends(), (ICMP, 0), true, "a/p spec.ingress[0]");
}

#[test]
fn a_named_port_is_the_targets() {
    let rule = "{ports: [{port: http}]}";
    let http = |end, number| naming(end, "http", TCP, number);
    for (spec, source) in [(ingress(rule), a("")), (egress(rule), a("app=q"))] {
        let check = |target: FlowEnd, wish, allowed, names: &str| {
            check_port(&[&spec], (source.clone(), target), wish, allowed, names);
        };
        check(http(backend(), 8080), (TCP, 8080), true, "a/p spec.");
        let miss = "its port must be http/TCP, and is 80/TCP\n";
        check(http(backend(), 8080), (TCP, 80), false, miss);
        check(backend(), (TCP, 80), false, miss);
        check(http(backend(), 80), (UDP, 80), false, "must be http/TCP, and is 80/UDP\n");
        check(naming(backend(), "http", UDP, 80), (TCP, 80), false, miss);
    }
    // What the source calls so is of no interest.
    let ends = (http(a("app=q"), 80), backend());
    check_port(&[&egress(rule)], ends, (TCP, 80), false, "its port must be http/TCP");
    check(
        &[("p", &ingress(rule))],
        (a(""), backend()),
        false,
        &["a/p"],
        "nobody here has a port http/TCP",
    );
}

#[test]
fn a_block_says_which_address_and_which_except() {
    let block = "ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}";
    let from = ingress(&format!("{{from: [{{{block}}}]}}"));
    let to = egress(&format!("{{to: [{{{block}}}]}}"));
    let come = |address: &str, end: FlowEnd, allowed, names: &str| {
        check_port(&[&from], (at(end.clone(), address), backend()), (TCP, 80), allowed, names);
        check_port(&[&to], (a("app=q"), at(end, address)), (TCP, 80), allowed, names);
    };
    for end in [world(), pod("b/pod")] {
        come("10.3.0.1", end.clone(), true, "[0]");
        come("10.2.3.4", end.clone(), false, "its address 10.2.3.4 is in the except 10.2.0.0/16");
        let all = "its address must be in 10.0.0.0/8 except 10.1.0.0/16, 10.2.0.0/16";
        come("11.0.0.1", end, false, &format!("{all}, and is 11.0.0.1"));
    }
    check_port(
        &[&from],
        (world(), backend()),
        (TCP, 80),
        false,
        "its address must be in 10.0.0.0/8",
    );
    // Whom an address chooses has no names, as a target.
    let named = egress("{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}");
    let target = at(naming(backend(), "http", TCP, 80), "10.3.0.1");
    check_port(&[&named], (a("app=q"), target), (TCP, 80), false, "its port must be http/TCP");
}

#[test]
fn both_ends_policies_are_asked() {
    let out = egress(
        "{to: [{podSelector: {matchLabels: {app: backend}}}], ports: [{port: 80}, {port: 81}]}",
    );
    let into = ingress("{from: [{podSelector: {}}], ports: [{port: 81}, {port: 82}]}");
    let ends = || (a("app=q"), backend());
    let check = |port, allowed, names| {
        check_port(&[&out, &into], ends(), (TCP, port), allowed, names);
    };
    check(80, false, "spec.ingress[0].from[0]: its port must be 81/TCP, 82/TCP, and is 80/TCP");
    check(81, true, "a/p spec.egress[0].to[0], a/p spec.ingress[0].from[0]");
    check(82, false, "spec.egress[0].to[0]: its port must be 80/TCP, 81/TCP, and is 82/TCP");
    let both = |specs: [&str; 2]| {
        let policies = specs.map(|spec| policy("p", spec));
        explain(&policies, &ends().0, &ends().1, None)
    };
    let it = both([&out, &into]);
    assert_eq!((it.allowed, it.ports.as_deref()), (true, Some("81/TCP")), "{it:#?}");
    let it = both([&out, &ingress("{ports: [{port: 82}]}")]);
    assert!(!it.allowed, "{it:#?}");
    assert_eq!(it.why, "a/source may ask by 80-81/TCP, and a/backend takes 82/TCP");
    let it = both([&out, &ingress("{}")]);
    assert_eq!((it.allowed, it.ports.as_deref()), (true, Some("80-81/TCP")), "{it:#?}");
}

#[test]
fn the_rule_that_lacks_only_the_port_is_nearer_than_one_for_others() {
    let rules = "{from: [{podSelector: {matchLabels: {app: x, tier: z}}}]}, \
                 {from: [{podSelector: {}}], ports: [{port: 443}]}";
    let names = "a/p spec.ingress[1].from[0]: its port must be 443/TCP, and is 80/TCP";
    check_port(&[&ingress(rules)], (a(""), backend()), (TCP, 80), false, names);
    let other = "{from: [{podSelector: {matchLabels: {app: x}}}], ports: [{port: 443}]}";
    let both = "its app must be x, and is not there; its port must be 443/TCP, and is 80/TCP";
    check_port(&[&ingress(other)], (a(""), backend()), (TCP, 80), false, both);
}
