//! Random worlds with ports, names, blocks and egress: what the engine wants in the maps, and what
//! packets meet, must be what the rules say when somebody reads them naively. `WORLDS=20000` tries
//! more of them, and sends packets in one of forty.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
#[path = "../../ch3-identity-policy/tests/engine/mod.rs"]
mod engine;
mod oracle;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
mod pod_services;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;

use std::collections::BTreeMap;

use chapter::agent::policy::ports::{self, PortSet, prefixes};
use chapter::agent::reconcile::wanted::Wanted;
use chapter::maps::{Direction, EGRESS_ISOLATED, PolicyKey};
use engine::{Engine, HERE};
use oracle::random::{GATEWAY, NUMBERS, OUTSIDE, PODS, address, world};
use oracle::{End, Port, World};
use pod_services::{SERVICE_PORTS, service_address};
use probe::expect::Attempt;
use probe::socket::{ALL, Protocol};
use probe::{Cluster, PORTS};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// How many worlds are tried.
fn worlds() -> usize {
    std::env::var("WORLDS").map_or(2000, |it| it.parse().unwrap())
}

/// Makes worlds. `SEED` makes the same ones.
fn random() -> impl Iterator<Item = World> {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    println!("SEED={seed} makes the same worlds");
    fastrand::seed(seed);
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat());
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    std::iter::repeat_with(move || world().new_tree(&mut runner).unwrap().current())
}

/// An engine that lives through all worlds. Half of the pods are on its node.
fn engine(test: &str) -> Engine {
    let mut engine = Engine::new(test);
    for (number, name) in PODS.into_iter().enumerate().filter(|it| is_here(it.1)) {
        engine.put(number, name, address(name));
    }
    engine
}

fn is_here(name: &str) -> bool {
    name.ends_with('a')
}

/// A world's objects, with the pods where they are.
fn objects(world: &World) -> Vec<Value> {
    let mut objects = world.objects();
    for object in objects.iter_mut().filter(|it| it["kind"] == "Pod") {
        let here = is_here(object["metadata"]["name"].as_str().unwrap());
        object["spec"]["nodeName"] = if here { HERE } else { "there" }.into();
    }
    objects
}

/// What the programs in the kernel make of the maps.
fn lets_through(wanted: &Wanted, from: End<'_>, to: End<'_>, port: Port<'_>) -> bool {
    const WORLD: u32 = 2;
    let port = port.map(|(name, port)| (ports::protocol(name).unwrap(), port));
    let endpoint = |end| match end {
        End::Pod(pod) => Some(wanted.endpoints[&address(pod)]),
        End::Other(_) => None,
    };
    let address = |end| match end {
        End::Pod(pod) => address(pod),
        End::Other(address) => address,
    };
    let (src, dst) = (endpoint(from), endpoint(to));
    let id = |end: Option<chapter::maps::Endpoint>| end.map_or(WORLD, |end| end.identity);
    let egress = src.is_some_and(|src| src.flags & EGRESS_ISOLATED != 0);
    let allowed = |direction, subject, peer, at| {
        let of = |peer| wanted.allowed(&PolicyKey::new(direction, subject, peer));
        let (anybody, pair) = (of(0), of(peer));
        let blocks = anybody.and_then(|it| it.blocks.as_deref());
        let around = blocks.iter().flat_map(|it| it.iter()).filter(|it| it.0.contains(&at));
        let longest = around.max_by_key(|it| it.0.prefix_len()).map(|it| it.1);
        let sets = [anybody.map(|it| &it.ports), pair.map(|it| &it.ports), longest];
        sets.into_iter().flatten().any(|set| has_port(set, port))
    };
    (!egress || allowed(Direction::Egress, id(src), id(dst), address(to)))
        && (dst.is_none() || allowed(Direction::Ingress, id(dst), id(src), address(from)))
}

/// As `port_map` has it.
fn has_port(set: &PortSet, port: Option<(u8, u16)>) -> bool {
    let is_in = |(proto, port): (u8, u16)| {
        let its = set.ranges().iter().filter(|range| range.proto == proto);
        let mut prefixes = its.flat_map(|range| prefixes(*range));
        prefixes.any(|(first, bits)| u32::from(first ^ port) >> (16 - bits) == 0)
    };
    set.is_all() || port.is_some_and(is_in)
}

#[test]
fn the_engine_means_what_the_rules_say() {
    let mut engine = engine("random");
    let mut counts = [0, 0];
    for world in random().take(worlds()) {
        engine.set(objects(&world));
        let pods = || PODS.into_iter().map(End::Pod);
        for to in pods().chain([OUTSIDE, GATEWAY].map(End::Other)) {
            for from in pods().chain([End::Other(OUTSIDE)]).filter(|from| *from != to) {
                let number = || fastrand::choice(NUMBERS).unwrap();
                let ports = ALL.map(|protocol| Some((protocol.name(), number())));
                for port in ports.into_iter().chain([None]) {
                    let by_rules = world.permits(from, to, port);
                    let by_maps = lets_through(&engine.wanted, from, to, port);
                    assert_eq!(by_maps, by_rules, "{from:?} > {to:?} {port:?}: {world:#?}");
                    counts[usize::from(by_rules)] += 1;
                }
            }
        }
    }
    // Worlds in which all may, or nobody, would prove nothing.
    let [denied, allowed] = counts;
    let percent = 100 * allowed / (allowed + denied);
    println!("{} worlds, {denied} denied, {allowed} allowed", worlds());
    assert!((20..=80).contains(&percent), "{percent} % are allowed");
}

/// As an API server of a later version could bring it: nobody knows whom it is about.
#[test]
fn a_policy_whose_subject_is_not_understood_isolates_its_namespace() {
    let mut engine = engine("unreadable");
    let quiet = random().next().unwrap();
    for spec in [
        json!({ "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Like" }] } }),
        json!({ "podSelector": { "matchFields": {} }, "ingress": [{}], "egress": [{}] }),
        json!({ "podSelector": {}, "policyTypes": ["Ingress", "Sideways"], "ingress": [{}] }),
    ] {
        let world = World { policies: [("x/p".into(), spec)].into(), ..quiet.clone() };
        engine.set(objects(&world));
        let pairs = PODS.into_iter().flat_map(|from| PODS.map(|to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let concerned = from.starts_with("x/") || to.starts_with("x/");
            for port in [Some(("TCP", 80)), None] {
                let passes = lets_through(&engine.wanted, End::Pod(from), End::Pod(to), port);
                assert_eq!(passes, !concerned, "{from} > {to}");
            }
        }
        assert_eq!(engine.wanted.problems().len(), 1, "{:?}", engine.wanted.problems());
    }
}

/// Who asks whom, by pods' and by Services' addresses, and whether that is to be answered.
fn attempts(world: &World) -> BTreeMap<Attempt, bool> {
    let (outside, gateway) = (OUTSIDE.to_string(), GATEWAY.to_string());
    let others = [(&*outside, End::Other(OUTSIDE)), (&*gateway, End::Other(GATEWAY))];
    let pods = PODS.map(|pod| (pod, End::Pod(pod)));
    let mut attempts = BTreeMap::new();
    for (to, target) in pods.into_iter().chain(others) {
        // The node reaches all, and who is outside reaches the node: so it is known that all answer.
        let others = [(&*outside, Some(End::Other(OUTSIDE))), ("node", None)];
        let others = others.into_iter().filter(|it| it.0 != to && (it.0, to) != ("node", &gateway));
        for (from, source) in pods.map(|(pod, end)| (pod, Some(end))).into_iter().chain(others) {
            let permits = |port| source.is_none_or(|source| world.permits(source, target, port));
            let ping = Attempt::new(from, to, Protocol::Icmp, 0);
            attempts.insert(ping, permits(None));
            // The node answers its neighbour's datagrams by another address.
            let is_answered =
                |it: &Protocol| (from, to, *it == Protocol::Tcp) != (&outside, &gateway, false);
            let ways = ALL.into_iter().filter(is_answered).flat_map(|it| [(it, 0), (it, 1)]);
            for (protocol, index) in ways {
                let permits = permits(Some((protocol.name(), PORTS[index])));
                attempts.insert(Attempt::new(from, to, protocol, PORTS[index]), permits);
                // The kernel does not translate SCTP that is made by hand.
                if let Some(pod) = world.hosts.get(to).filter(|_| protocol != Protocol::Sctp) {
                    let service = service_address(pod.address).to_string();
                    let port = SERVICE_PORTS[index];
                    attempts.insert(Attempt::new(from, &service, protocol, port), permits);
                }
            }
        }
    }
    attempts
}

#[test]
fn packets_meet_what_the_rules_say() {
    let mut cluster = Cluster::new(&[]);
    cluster.outside(2);
    cluster.serve_outside();
    let (mut tried, mut counts) = (0, [0, 0]);
    // In all of them somebody is isolated.
    let isolates = |world: &World| {
        ["Ingress", "Egress"]
            .iter()
            .any(|it| PODS.iter().any(|pod| !world.isolating(pod, it).is_empty()))
    };
    for world in random().filter(isolates).take(worlds() / 40) {
        println!("{:#}", Value::from(world.objects()));
        pod_services::make(&cluster.node, world.hosts.values());
        cluster.replace(&world.objects());
        let attempts = attempts(&world);
        attempts.values().for_each(|allowed| counts[usize::from(*allowed)] += 1);
        cluster.verify(&attempts);
        tried += 1;
    }
    println!("{tried} worlds, {} denied, {} allowed", counts[0], counts[1]);
}
