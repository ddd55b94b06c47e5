//! NetworkPolicy test vectors: what Kubernetes' end-to-end tests and cyclonus apply, and who
//! reaches whom then, by which port. All of it holds, exactly: by a pod's address, by a Service's
//! with other ports, and in what `explain` says. NETPOL_VECTORS says where the vectors are.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/cases/mod.rs"]
mod cases;
#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
mod oracle;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
mod pod_services;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;

use std::collections::BTreeMap;

use cases::{Case, Step, act};
use chapter::client;
use lab::Node;
use oracle::{End, World};
use plugin::{conf_with, node};
use pod_services::{SERVICE_PORTS, service_address};
use probe::expect::Attempt;
use probe::socket::{ALL, Protocol};
use probe::{Cluster, PORTS};
use serde_json::{Value, json};

fn permits(world: &World, it: &Attempt) -> bool {
    let port = Some((it.protocol.name(), it.port));
    world.permits(End::Pod(&it.from), End::Pod(&it.to), port)
}

/// What the rules say must be what the vectors say; itself a pod reaches always, though some say
/// that it does not. Returns how many statements there are.
fn compare(world: &World, step: &Step) -> usize {
    for (attempt, allowed) in step.expected.iter().filter(|(it, _)| it.from != it.to) {
        assert_eq!(permits(world, attempt), *allowed, "{attempt}");
    }
    step.expected.len()
}

/// All pairs by all ports and protocols.
fn attempts(world: &World) -> impl Iterator<Item = Attempt> {
    let pairs = world.pods.keys().flat_map(|from| world.pods.keys().map(move |to| (from, to)));
    let ways = || ALL.into_iter().flat_map(|protocol| PORTS.map(|port| (protocol, port)));
    pairs.flat_map(move |(from, to)| {
        ways().map(move |(protocol, port)| Attempt::new(from, to, protocol, port))
    })
}

/// By pods' and by Services' addresses. The node reaches all: so it is known that all answer.
fn packets_meet_what_the_rules_say(cluster: &Cluster, world: &World) {
    let direct: BTreeMap<_, _> = attempts(world)
        .map(|attempt| {
            let permits = permits(world, &attempt);
            (attempt, permits)
        })
        .collect();
    let by_the_node = direct.keys().filter(|it| it.from == it.to);
    let by_the_node = by_the_node.map(|it| (Attempt { from: "node".into(), ..it.clone() }, true));
    let mut expected: BTreeMap<_, _> = direct.clone().into_iter().chain(by_the_node).collect();
    // The kernel does not translate SCTP that is made by hand.
    let translated = expected.iter().filter(|(it, _)| it.protocol != Protocol::Sctp);
    let by_service = translated.map(|(it, permits)| {
        let to = service_address(world.hosts[&it.to].address).to_string();
        let port = SERVICE_PORTS[PORTS.iter().position(|port| *port == it.port).unwrap()];
        (Attempt { to, port, ..it.clone() }, *permits)
    });
    expected.extend(by_service.collect::<Vec<_>>());
    cluster.verify(&expected);
}

/// What has just been seen on the datapath is what `explain` says, of the policies and of the maps.
fn explains(cluster: &Cluster, world: &World) {
    let ask = || {
        for attempt in attempts(world) {
            let Attempt { from, to, port, .. } = &attempt;
            let protocol = attempt.protocol.number();
            let query = format!("from={from}&to={to}&port={port}&protocol={protocol}");
            let it: Value = client::get(&format!("/v1/explain?{query}")).unwrap();
            let allowed = permits(world, &attempt);
            assert_eq!(it["explanation"]["allowed"], allowed, "{attempt}: {it:#}");
            assert_eq!(it["live"]["allowed"], allowed, "{attempt}: {it:#}");
        }
    };
    cluster.node.enter(ask).unwrap();
}

/// The cases say their pods' addresses.
fn node_of_the_cases() -> Node {
    let node = node();
    let conf = conf_with(json!({ "podcidr": "10.244.0.0/16" }));
    node.write_config("10-ebpfcni.conf", &conf.to_string()).unwrap();
    node
}

/// Runs cases, one after the other on one node. Returns how many statements they make.
fn run<'a>(cases: impl Iterator<Item = &'a Case>) -> usize {
    let mut cluster = Cluster::on(node_of_the_cases(), &[]);
    let mut statements = 0;
    for case in cases {
        println!("{}", case.title);
        let mut world = case.start.clone();
        pod_services::make(&cluster.node, world.hosts.values());
        cluster.replace(&world.objects());
        for step in &case.steps {
            step.actions.iter().for_each(|action| act(&mut world, action));
            if let Some(after) = &step.after {
                assert_eq!((&world.namespaces, &world.pods), (&after.namespaces, &after.pods));
            }
            statements += compare(&world, step);
            cluster.replace(&world.objects());
            packets_meet_what_the_rules_say(&cluster, &world);
            explains(&cluster, &world);
        }
    }
    statements
}

#[test]
fn kubernetes_end_to_end_tests() {
    if let Some(directory) = cases::directory("kubernetes_end_to_end_tests") {
        let cases = cases::end_to_end(&directory);
        assert_eq!((run(cases.iter()), cases.len()), (711, 48));
    }
}

/// On two nodes at once, each with half of them.
#[test]
fn cyclonus() {
    if let Some(directory) = cases::directory("cyclonus") {
        let cases = cases::cyclonus(&directory);
        let (one, other) = cases.split_at(cases.len() / 2);
        let statements = std::thread::scope(|scope| {
            let one = scope.spawn(|| run(one.iter()));
            run(other.iter()) + one.join().unwrap()
        });
        assert_eq!((statements, cases.len()), (123_669, 230));
    }
}
