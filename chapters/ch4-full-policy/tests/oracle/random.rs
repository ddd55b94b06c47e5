//! Random worlds of chapter 4. Few ports, few names, few addresses: so rules meet often.

use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just};
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::Strategy;
use serde_json::{Value, json};

use super::chapter3::random::{NAMESPACE_LABELS, POD_LABELS, labels, maybe, object, selector};
pub use super::chapter3::random::{NAMESPACES, PODS};
use super::{Host, Labels, World, is_in};

/// Somebody outside.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The node, as pods see it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 13, 0, 1);
const PROTOCOLS: [&str; 4] = ["TCP", "UDP", "UDP", "SCTP"];
const NAMES: [&str; 3] = ["web", "dns", "alt"];
/// Around those on which servers listen, and the edges.
pub const NUMBERS: [u16; 8] = [1, 79, 80, 81, 82, 127, 128, 65535];

/// Where a pod is.
pub fn address(pod: &str) -> Ipv4Addr {
    let place = PODS.into_iter().position(|it| it == pod).unwrap();
    Ipv4Addr::new(10, 13, 0, 2 + place as u8)
}

/// Always the same pods in the same namespaces, with other labels, ports and policies.
pub fn world() -> impl Strategy<Value = World> {
    let policy = (select(&NAMESPACES[..]), 0..3, spec());
    let policies = vec(policy.prop_map(|(of, n, spec)| (format!("{of}/p{n}"), spec)), 0..5);
    (vec(labels(&NAMESPACE_LABELS[..2]), 3), vec(pod(), PODS.len()), policies).prop_map(
        |(namespaces, pods, policies)| {
            let names = NAMESPACES.map(String::from);
            let mut world = World {
                namespaces: names.into_iter().zip(namespaces).collect(),
                policies: policies.into_iter().collect(),
                ..World::default()
            };
            for (name, (labels, ports)) in PODS.into_iter().zip(pods) {
                world.pods.insert(name.into(), labels);
                world.hosts.insert(name.into(), Host { address: address(name), ports });
            }
            world
        },
    )
}

/// Labels, and what its container calls its ports: other pods call others so.
fn pod() -> impl Strategy<Value = (Labels, Vec<(String, &'static str, u16)>)> {
    let name = select(&NAMES[..]).prop_map(String::from);
    let port = (name, select(&PROTOCOLS[..]), select(&NUMBERS[2..4]));
    (labels(&POD_LABELS), vec(port, 0..4))
}

/// What a policy says, or leaves out.
fn spec() -> BoxedStrategy<Value> {
    let types = prop_oneof![
        2 => Just(json!([])),
        3 => Just(json!(["Ingress"])),
        3 => Just(json!(["Egress"])),
        3 => Just(json!(["Ingress", "Egress"])),
    ];
    let rules = |field| maybe(vec(rule(field), 0..3).prop_map(Value::from));
    object([
        ("podSelector", maybe(selector(&POD_LABELS))),
        ("policyTypes", maybe(types)),
        ("ingress", rules("from")),
        ("egress", rules("to")),
    ])
}

fn rule(field: &'static str) -> BoxedStrategy<Value> {
    object([
        (field, maybe(vec(peer(), 0..3).prop_map(Value::from))),
        ("ports", maybe(vec(port(), 0..3).prop_map(Value::from))),
    ])
}

fn peer() -> BoxedStrategy<Value> {
    let selectors = object([
        ("podSelector", maybe(selector(&POD_LABELS))),
        ("namespaceSelector", maybe(selector(&NAMESPACE_LABELS))),
    ]);
    prop_oneof![3 => selectors, 2 => block().prop_map(|block| json!({ "ipBlock": block }))].boxed()
}

/// Around addresses of pods and of others; an `except` is a part of it.
fn block() -> impl Strategy<Value = Value> {
    (cidr(), vec(cidr(), 0..3)).prop_map(|((address, bits), excepts)| {
        let cidr = format!("{address}/{bits}");
        let is_part = |it: &&(Ipv4Addr, u32)| it.1 > bits && is_in(&cidr, it.0);
        let excepts = excepts.iter().filter(is_part);
        let excepts: Vec<_> = excepts.map(|it| format!("{}/{}", it.0, it.1)).collect();
        json!({ "cidr": cidr, "except": excepts })
    })
}

fn cidr() -> impl Strategy<Value = (Ipv4Addr, u32)> {
    let mut addresses = PODS.map(address).to_vec();
    addresses.extend([OUTSIDE, GATEWAY]);
    let bits = select(vec![0, 1, 4, 8, 24, 29, 30, 31, 32]);
    (select(addresses), bits).prop_map(|(address, bits)| {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or_default();
        (Ipv4Addr::from(u32::from(address) & mask), bits)
    })
}

fn port() -> BoxedStrategy<Value> {
    let number = || select(&NUMBERS[..]);
    let single = number().prop_map(|number| json!({ "port": number }));
    let named = select(&NAMES[..]).prop_map(|name| json!({ "port": name }));
    let range = (number(), number())
        .prop_map(|(one, other)| json!({ "port": one.min(other), "endPort": one.max(other) }));
    let what = prop_oneof![4 => single, 3 => named, 3 => range, 1 => Just(json!({}))];
    let protocol = maybe(select(&PROTOCOLS[..]).prop_map(Value::from));
    (what, protocol)
        .prop_map(|(mut port, protocol)| {
            if let Some(protocol) = protocol {
                port["protocol"] = protocol;
            }
            port
        })
        .boxed()
}
