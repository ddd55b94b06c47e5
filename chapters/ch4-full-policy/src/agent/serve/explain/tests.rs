//! A table of situations: who is named as the reason, and which rule as the nearest miss.

use super::*;
use crate::agent::objects::kinds::NetworkPolicy;
use crate::api::Labels;

mod ports;

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
