//! What cannot be read is told with its path.

use super::*;

/// What is told of a policy that says so.
fn told(spec: &str) -> String {
    let text = format!("{{metadata: {{name: p, namespace: x}}, spec: {spec}}}");
    let policy: NetworkPolicy = serde_saphyr::from_str(&text).unwrap();
    let policy = Policy::read(&policy);
    assert!(policy.ingress.is_some() && policy.egress.is_some(), "it isolates its namespace");
    policy.not_enforced.join("\n")
}

#[test]
fn a_wrong_type_is_told_by_its_fields_name() {
    for (spec, path) in [
        ("5", "spec: "),
        ("{ingress: {from: []}}", "spec.ingress: "),
        ("{ingress: [5]}", "spec.ingress[0]: "),
        ("{egress: {}}", "spec.egress: "),
        ("{policyTypes: Ingress}", "spec.policyTypes: "),
        ("{podSelector: []}", "spec.podSelector: "),
        ("{podSelector: {matchLabels: {app: 00000}}}", "spec.podSelector.matchLabels.app: "),
        (
            "{podSelector: {matchLabels: {app: web, tier: true}}}",
            "spec.podSelector.matchLabels.tier: ",
        ),
        ("{podSelector: {matchLabels: [app]}}", "spec.podSelector.matchLabels: "),
        ("{ingress: [{from: {podSelector: {}}}]}", "spec.ingress[0].from: "),
        (
            "{ingress: [{}, {from: [{}, {podSelector: web}]}]}",
            "spec.ingress[1].from[1].podSelector: ",
        ),
        (
            "{ingress: [{from: [{namespaceSelector: {matchLabels: {team: 1}}}]}]}",
            "spec.ingress[0].from[0].namespaceSelector.matchLabels.team: ",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In, values: [x, 1]}]}}",
            "spec.podSelector.matchExpressions[0].values[1]: ",
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: In, values: x}]}}",
            "spec.podSelector.matchExpressions[0].values: ",
        ),
        ("{podSelector: {matchExpressions: [{key: a}]}}", "spec.podSelector.matchExpressions[0]: "),
    ] {
        let told = told(spec);
        assert!(told.starts_with(&format!("all of it: {path}")), "{spec}: {told}");
    }
}
