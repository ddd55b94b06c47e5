//! Random worlds. Few labels with few values: so selectors hit often.

use proptest::collection::{btree_map, vec};
use proptest::prelude::{BoxedStrategy, Just};
use proptest::prop_oneof;
use proptest::sample::{select, subsequence};
use proptest::strategy::Strategy;
use serde_json::{Map, Value, json};

use super::{Labels, World};

pub const NAMESPACES: [&str; 3] = ["x", "y", "z"];
pub const PODS: [&str; 6] = ["x/a", "x/b", "y/a", "y/b", "z/a", "z/b"];
/// The last is one that counts for an identity only if some policy asks for it.
pub const POD_LABELS: [&str; 3] = ["app", "tier", "pod-template-hash"];
pub const NAMESPACE_LABELS: [&str; 3] = ["team", "env", "kubernetes.io/metadata.name"];
const VALUES: [&str; 3] = ["x", "y", "1"];

/// Always the same pods in the same namespaces, with other labels and policies.
pub fn world() -> impl Strategy<Value = World> {
    let labels_of = |names: &'static [&str], labels| {
        let labels = vec(labels, names.len());
        let named = |name: &&str| (*name).to_string();
        labels.prop_map(move |labels| names.iter().map(named).zip(labels).collect())
    };
    let policy = (select(&NAMESPACES[..]), 0..3, spec());
    let policies = vec(policy.prop_map(|(of, n, spec)| (format!("{of}/p{n}"), spec)), 0..5);
    (
        labels_of(&NAMESPACES, labels(&NAMESPACE_LABELS[..2])),
        labels_of(&PODS, labels(&POD_LABELS)),
        policies,
    )
        .prop_map(|(namespaces, pods, policies)| World {
            namespaces,
            pods,
            policies: policies.into_iter().collect(),
            ..World::default()
        })
}

pub fn labels(keys: &'static [&str]) -> impl Strategy<Value = Labels> + Clone {
    let text = |all: &'static [&str]| select(all).prop_map(String::from);
    btree_map(text(keys), text(&VALUES), 0..=keys.len())
}

/// What a policy says, or leaves out.
fn spec() -> BoxedStrategy<Value> {
    let types = prop_oneof![
        2 => Just(json!([])),
        5 => Just(json!(["Ingress"])),
        1 => Just(json!(["Egress"])),
        1 => Just(json!(["Ingress", "Egress"])),
    ];
    let egress = prop_oneof![4 => Just(json!([])), 1 => Just(json!([{}]))];
    object([
        ("podSelector", maybe(selector(&POD_LABELS))),
        ("policyTypes", maybe(types)),
        ("ingress", maybe(vec(rule(), 0..3).prop_map(Value::from))),
        ("egress", maybe(egress)),
    ])
}

fn rule() -> BoxedStrategy<Value> {
    let ports = prop_oneof![4 => Just(json!([])), 1 => Just(json!([{ "port": 80 }]))];
    object([("from", maybe(vec(peer(), 0..3).prop_map(Value::from))), ("ports", maybe(ports))])
}

fn peer() -> BoxedStrategy<Value> {
    let block = json!({ "cidr": "0.0.0.0/0" });
    let selectors = object([
        ("podSelector", maybe(selector(&POD_LABELS))),
        ("namespaceSelector", maybe(selector(&NAMESPACE_LABELS))),
    ]);
    prop_oneof![9 => selectors, 1 => Just(json!({ "ipBlock": block }))].boxed()
}

pub fn selector(keys: &'static [&str]) -> BoxedStrategy<Value> {
    let exact = labels(keys).prop_map(|labels| json!(labels));
    let expressions = vec(expression(keys), 0..3).prop_map(Value::from);
    object([("matchLabels", maybe(exact)), ("matchExpressions", maybe(expressions))])
}

fn expression(keys: &'static [&str]) -> impl Strategy<Value = Value> + Clone {
    let values = subsequence(VALUES.to_vec(), 1..=2);
    let operator = select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    (select(keys), operator, values).prop_map(|(key, operator, values)| match operator {
        "In" | "NotIn" => json!({ "key": key, "operator": operator, "values": values }),
        _ => json!({ "key": key, "operator": operator }),
    })
}

/// A field that may as well be missing, or null.
pub fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 4 => value.prop_map(Some)].boxed()
}

pub fn object<const N: usize>(
    fields: [(&'static str, BoxedStrategy<Option<Value>>); N],
) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let present = move |values: Vec<Option<Value>>| {
        let fields = names.iter().zip(values);
        let fields = fields.filter_map(|(name, value)| Some(((*name).to_string(), value?)));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    values.prop_map(present).boxed()
}
