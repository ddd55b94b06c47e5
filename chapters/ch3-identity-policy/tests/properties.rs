//! Random worlds: what the engine wants in the maps, and what packets meet, must be what the
//! rules say when somebody reads them naively.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod engine;
mod oracle;
mod plugin;
mod probe;

use std::cell::RefCell;
use std::net::Ipv4Addr;

use chapter::{
    agent::reconcile::wanted::Wanted,
    maps::{EGRESS_ISOLATED, PolicyKey},
};
use engine::{Engine, HERE};
use oracle::random::{PODS, world};
use oracle::{Labels, World};
use probe::Cluster;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// How often somebody may come to an isolated pod, and how often not.
fn verdicts(world: &World) -> [u32; 2] {
    let mut verdicts = [0, 0];
    for to in PODS.into_iter().filter(|to| !world.isolating(to, "Ingress").is_empty()) {
        for from in PODS.into_iter().filter(|from| *from != to) {
            verdicts[usize::from(!world.allows(Some(from), to))] += 1;
        }
    }
    verdicts
}

/// An engine that lives through all worlds. Half of the pods are on its node.
fn engine(test: &str) -> Engine {
    let mut engine = Engine::new(test);
    for (number, name) in PODS.into_iter().enumerate().filter(|it| is_here(it.1)) {
        engine.put(number, name, address(name));
    }
    engine
}

/// A world's objects, with the pods where they are.
fn objects(world: &World) -> Vec<Value> {
    let mut objects = world.objects();
    for object in objects.iter_mut().filter(|it| it["kind"] == "Pod") {
        let part = |key: &str| object["metadata"][key].as_str().unwrap();
        let name = format!("{}/{}", part("namespace"), part("name"));
        object["spec"] = json!({ "nodeName": if is_here(&name) { HERE } else { "there" } });
        object["status"] = json!({ "podIPs": [{ "ip": address(&name) }] });
    }
    objects
}

fn is_here(name: &str) -> bool {
    name.ends_with('a')
}

fn address(name: &str) -> Ipv4Addr {
    let place = PODS.into_iter().position(|it| it == name).unwrap();
    Ipv4Addr::new(10, 13, 0, 2 + place as u8)
}

/// What the programs in the kernel make of the maps.
fn lets_through(wanted: &Wanted, from: Option<&str>, to: &str) -> bool {
    const WORLD: u32 = 2;
    let endpoint = |name| wanted.endpoints[&address(name)];
    let (src_id, flags) =
        from.map_or((WORLD, 0), |name| (endpoint(name).identity, endpoint(name).flags));
    let dst_id = endpoint(to).identity;
    let has = |src_id| wanted.policy.contains(&PolicyKey { src_id, dst_id });
    flags & EGRESS_ISOLATED == 0 && (has(src_id) || has(0))
}

#[test]
fn the_engine_means_what_the_rules_say() {
    let engine = RefCell::new(engine("random"));
    let counts = RefCell::new([0, 0]);
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&world(), |world| {
        let mut engine = engine.borrow_mut();
        engine.set(objects(&world));
        for to in PODS {
            for from in PODS.into_iter().filter(|it| *it != to).map(Some).chain([None]) {
                let by_rules = world.allows(from, to);
                assert_eq!(lets_through(&engine.wanted, from, to), by_rules, "{from:?} > {to}");
            }
        }
        let new = verdicts(&world);
        counts.borrow_mut().iter_mut().zip(new).for_each(|(count, new)| *count += new);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
    // Selectors that hit always or never would prove nothing.
    let [allowed, denied] = *counts.borrow();
    let percent = 100 * allowed / (allowed + denied);
    assert!((20..=80).contains(&percent), "{percent} % are allowed");
}

/// As an API server of a later version could bring it: nobody knows whom it is about.
#[test]
fn a_policy_whose_subject_is_not_understood_isolates_its_namespace() {
    let mut engine = engine("unreadable");
    let mut world = World {
        namespaces: ["x", "y", "z"].map(|name| (name.into(), Labels::new())).into(),
        pods: PODS.map(|name| (name.into(), Labels::new())).into(),
        ..World::default()
    };
    for spec in [
        json!({ "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Like" }] } }),
        json!({ "podSelector": { "matchFields": {} }, "ingress": [{}] }),
        json!({ "podSelector": {}, "policyTypes": ["Ingress", "Sideways"], "ingress": [{}] }),
    ] {
        world.policies.insert("x/p".into(), spec);
        engine.set(objects(&world));
        let wanted = &engine.wanted;
        for to in PODS {
            for from in PODS.into_iter().filter(|it| *it != to) {
                let concerned = from.starts_with("x/") || to.starts_with("x/");
                assert_eq!(lets_through(wanted, Some(from), to), !concerned, "{from} > {to}");
            }
        }
        assert_eq!(wanted.problems().len(), 1, "{:?}", wanted.problems());
    }
}

#[test]
fn packets_meet_what_the_rules_say() {
    let mut cluster = Cluster::new(&[]);
    let mut runner = TestRunner::default();
    let worlds = std::iter::repeat_with(|| world().new_tree(&mut runner).unwrap().current());
    // In all of them isolated pods let in some, and others not.
    for world in worlds.filter(|world| verdicts(world).iter().all(|count| *count > 0)).take(20) {
        println!("{:#}", Value::from(world.objects()));
        cluster.replace(&world.objects());
        cluster.expect(|from, to| world.allows(Some(from), to));
    }
}
