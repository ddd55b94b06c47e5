//! A table of situations: who is named as the reason, and which rule as the nearest miss.

use super::*;
use crate::agent::objects::kinds::NetworkPolicy;
use crate::api::{Labels, NamedPort};

/// A pod: `namespace/name key=value …`; its namespace has the label `team` of the same name.
fn pod(text: &str) -> FlowEnd {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let namespace = name.split('/').next().unwrap().to_string();
    let pairs = words.filter_map(|word| word.split_once('='));
    let labels = pairs.map(|(key, value)| (key.into(), value.into())).collect();
    let namespace_labels = Labels::from([("team".into(), namespace.clone())]);
    let labels =
        Some(SecurityLabels { namespace, namespace_labels, labels, ..SecurityLabels::default() });
    FlowEnd { name: name.into(), identity: 256, address: None, labels }
}

fn world() -> FlowEnd {
    FlowEnd { name: "world".into(), identity: WORLD, address: None, labels: None }
}

fn host() -> FlowEnd {
    FlowEnd { name: "host".into(), identity: HOST, address: None, labels: None }
}

/// A policy of namespace `a`: name and spec.
fn policy(name: &str, spec: &str) -> Arc<Policy> {
    let text = format!("{{metadata: {{name: {name}, namespace: a}}, spec: {spec}}}");
    let policy: NetworkPolicy = serde_saphyr::from_str(&text).unwrap();
    Arc::new(Policy::read(&policy))
}

/// What is to be found out: the verdict, who isolates, and the allowing rule or the nearest miss.
#[track_caller]
fn check(
    policies: &[(&str, &str)],
    (source, destination): (FlowEnd, FlowEnd),
    allowed: bool,
    isolated_by: &[&str],
    names: &str,
) {
    let policies: Vec<_> = policies.iter().map(|(name, spec)| policy(name, spec)).collect();
    let it = explain(&policies, &source, &destination, None);
    assert_eq!(it.allowed, allowed, "{it:#?}");
    assert_eq!(it.isolated_by, isolated_by, "{it:#?}");
    assert!(said(&it).contains(names), "{names:?} is not in:\n{}", said(&it));
}

fn said(it: &Explanation) -> String {
    let miss = it.nearest_miss.clone().unwrap_or_default();
    [miss, it.allowed_by.join(", "), it.why.clone()].join("\n")
}

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

const DENY_ALL: (&str, &str) = ("deny", "{podSelector: {}}");
const FRONTENDS: (&str, &str) = (
    "frontends",
    "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: frontend, tier: web}}}]}]}",
);
const TEAM_B: (&str, &str) = (
    "team-b",
    "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, \
     podSelector: {matchExpressions: [{key: app, operator: In, values: [x, 'y']}, \
     {key: old, operator: DoesNotExist}]}}]}]}",
);

fn a(labels: &str) -> FlowEnd {
    pod(format!("a/source {labels}").trim())
}

fn backend() -> FlowEnd {
    pod("a/backend app=backend")
}

#[test]
fn what_is_allowed_says_by_what() {
    check(&[], (a(""), backend()), true, &[], "no policy isolates a/backend");
    check(&[DENY_ALL], (host(), backend()), true, &[], "the node always reaches");
    check(&[DENY_ALL], (backend(), backend()), true, &[], "a pod always reaches itself");
    check(&[DENY_ALL], (a(""), world()), true, &[], "nothing isolates what is no pod");
    let frontend = a("app=frontend tier=web");
    check(
        &[FRONTENDS],
        (frontend.clone(), backend()),
        true,
        &["a/frontends"],
        "a/frontends spec.ingress[0].from[0]",
    );
    check(
        &[DENY_ALL, FRONTENDS],
        (frontend, backend()),
        true,
        &["a/deny", "a/frontends"],
        "a/frontends spec.ingress[0].from[0]",
    );
    let everybody = ("all", "{podSelector: {}, ingress: [{}]}");
    check(&[everybody], (world(), backend()), true, &["a/all"], "a/all spec.ingress[0]");
}

#[test]
fn what_isolates_is_named_though_no_rule_comes_near() {
    check(&[DENY_ALL], (a(""), backend()), false, &["a/deny"], "no rule lets a/source in");
    let elsewhere = ("db", "{podSelector: {matchLabels: {app: db}}}");
    check(&[DENY_ALL, elsewhere], (a(""), backend()), false, &["a/deny"], "a/backend is isolated");
    check(&[DENY_ALL], (world(), backend()), false, &["a/deny"], "no rule lets world in");
}

#[test]
fn the_rule_that_lacks_least_is_the_nearest_miss() {
    let miss = |policies: &[(&str, &str)], source: FlowEnd, names: &str| {
        let isolating: Vec<_> = policies.iter().map(|(name, _)| format!("a/{name}")).collect();
        let isolating: Vec<_> = isolating.iter().map(String::as_str).collect();
        check(policies, (source, backend()), false, &isolating, names);
    };
    let one_lacks = "a/frontends spec.ingress[0].from[0]: its tier must be web, and is \"db\"";
    miss(&[FRONTENDS], a("app=frontend tier=db"), one_lacks);
    miss(&[FRONTENDS], a("app=frontend"), "its tier must be web, and is not there");
    miss(&[FRONTENDS], pod("b/x app=frontend tier=web"), "its namespace must be a, and is b");
    miss(&[FRONTENDS], world(), "selectors are for pods, and it is none");
    miss(&[TEAM_B, FRONTENDS], a("app=frontend"), "a/frontends spec.ingress[0].from[0]: its tier");
    miss(
        &[FRONTENDS, TEAM_B],
        pod("b/y app=z"),
        "a/team-b spec.ingress[0].from[0]: its app must be x or y",
    );
    miss(&[TEAM_B], pod("b/y app=x old=1"), "its old must not be there, and is \"1\"");
    miss(&[TEAM_B], pod("c/y app=x"), "its namespace's team must be b, and is \"c\"");
    let two = (
        "two",
        "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}, \
         {podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [frontend]}]}, \
         namespaceSelector: {}}]}]}",
    );
    miss(&[two], a("app=frontend"), "a/two spec.ingress[0].from[0]");
}

#[test]
fn what_is_not_enforced_is_the_nearest_miss_where_there_is_no_other() {
    for (spec, names) in [
        (
            "{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}",
            "spec.ingress[0].ports[0].endPort: 79 is less than port 80",
        ),
        (
            "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [0.0.0.0/0]}}]}]}",
            "spec.ingress[0].from[0].ipBlock.except[0]: 0.0.0.0/0 is no part of 10.0.0.0/8",
        ),
        ("{podSelector: {}, ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]: says nothing"),
        ("{podSelector: {matchExpressions: [{key: a, operator: Like}]}}", "all of it"),
    ] {
        let names = format!("a/p {names}");
        let source = if spec.contains("Like") { pod("b/source") } else { a("") };
        check(&[("p", spec)], (source, backend()), false, &["a/p"], &names);
    }
}

#[test]
fn who_is_isolated_for_egress_is_told_by_his_own_policies() {
    let egress = ("quiet", "{podSelector: {matchLabels: {app: q}}, policyTypes: [Egress]}");
    for destination in [backend(), world()] {
        check(
            &[egress, DENY_ALL],
            (a("app=q"), destination),
            false,
            &["a/quiet"],
            "isolated for egress",
        );
    }
    check(&[egress], (a("app=r"), backend()), true, &[], "no policy isolates");
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
