//! What changes is worked into what the engine wants: the result must be the same as if it were
//! computed anew from all there is, and what it says has changed must be all that has.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod engine;
// The chapter's own, where it has one.
include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chapter/oracle.in"));

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use engine::{Engine, HERE, link};
use oracle::World;
use oracle::random::{NAMESPACES, PODS, world};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// A world that changes, with pods that move, share addresses, and come and go.
struct Changing {
    world: World,
    /// Node, addresses, and when it was made; whether it is being deleted.
    places: BTreeMap<String, (bool, Vec<Ipv4Addr>, u32, bool)>,
    /// Pods of this node that PUT has told of, by number.
    put: BTreeSet<usize>,
}

fn address() -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, fastrand::u8(..8))
}

fn place() -> (bool, Vec<Ipv4Addr>, u32, bool) {
    let addresses = (0..fastrand::usize(..3)).map(|_| address()).collect();
    (fastrand::bool(), addresses, fastrand::u32(..3), fastrand::u8(..4) == 0)
}

impl Changing {
    /// One thing becomes as it is in another world, or goes.
    fn change(&mut self, other: &World, engine: &mut Engine) {
        let name = fastrand::choice(PODS).unwrap();
        let namespace = fastrand::choice(NAMESPACES).unwrap();
        let world = &mut self.world;
        match fastrand::u8(..20) {
            0..6 => {
                let policy = other.policies.iter().next();
                policy.map(|(name, spec)| world.policies.insert(name.clone(), spec.clone()));
            }
            6 | 7 => drop(world.policies.pop_first()),
            8..11 => {
                world.pods.insert(name.into(), other.pods[name].clone());
                world
                    .hosts
                    .extend(other.hosts.get_key_value(name).map(|(k, v)| (k.clone(), v.clone())));
            }
            11 => drop(world.pods.remove(name)),
            12..15 => {
                let labels = other.namespaces[namespace].clone();
                world.namespaces.insert(namespace.into(), labels);
            }
            15 => drop(world.namespaces.remove(namespace)),
            16 | 17 => drop(self.places.insert(name.into(), place())),
            _ => self.put_or_delete(engine),
        }
    }

    fn put_or_delete(&mut self, engine: &mut Engine) {
        let number = fastrand::usize(..PODS.len());
        if self.put.remove(&number) {
            return engine.local.remove(&link(number)).unwrap();
        }
        let name = PODS[number];
        let is_known = self.world.pods.contains_key(name)
            && self.world.namespaces.contains_key(oracle::namespace(name));
        if is_known {
            self.put.insert(number);
            // Some are claimed by pods of other nodes as well.
            engine.put(number, name, Ipv4Addr::new(10, 64, 0, 4 + number as u8));
            engine.set(self.objects()); // once known, it is in a file
        }
    }

    fn objects(&self) -> Vec<Value> {
        let mut objects = self.world.objects();
        for object in objects.iter_mut().filter(|it| it["kind"] == "Pod") {
            let part = |key: &str| object["metadata"][key].as_str().unwrap();
            let name = format!("{}/{}", part("namespace"), part("name"));
            let (here, addresses, created, deleted) = &self.places[&name];
            object["spec"]["nodeName"] = if *here { HERE } else { "there" }.into();
            let ips: Vec<_> = addresses.iter().map(|it| json!({ "ip": it })).collect();
            object["status"] = json!({ "podIPs": ips });
            let metadata = &mut object["metadata"];
            metadata["creationTimestamp"] = format!("2026-01-01T00:00:0{created}Z").into();
            if *deleted {
                metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
            }
        }
        objects
    }
}

fn assert_same(engine: &Engine, anew: &Engine, step: &str) {
    assert_eq!(engine.wanted.endpoints, anew.wanted.endpoints, "{step}");
    assert_eq!(engine.wanted.policy, anew.wanted.policy, "{step}");
    assert_eq!(engine.wanted.problems(), anew.wanted.problems(), "{step}");
    assert_eq!(engine.endpoint_map, anew.wanted.endpoints, "{step}: not all was told");
    assert_eq!(engine.policy_map, anew.policy_map, "{step}: not all was told");
    assert_eq!(engine.view.pods, anew.view.pods, "{step}");
    assert_eq!(engine.view.policies, anew.view.policies, "{step}");
    assert_eq!(engine.view.endpoint_list(), anew.view.endpoint_list(), "{step}");
}

#[test]
fn what_is_worked_in_is_the_same_as_what_is_computed_anew() {
    let mut runner = TestRunner::default();
    let mut random = || world().new_tree(&mut runner).unwrap().current();
    let mut engine = Engine::new("worked-in");
    let places = PODS.map(|name| (name.to_string(), place())).into();
    let mut changing = Changing { world: random(), places, put: BTreeSet::new() };
    let (mut isolated, mut conflicts, mut published) = (0, 0, 0);
    for step in 0..2000 {
        for _ in 0..fastrand::usize(1..4) {
            changing.change(&random(), &mut engine);
        }
        engine.set(changing.objects());
        assert_same(&engine, &engine.anew(), &format!("step {step}: {:#?}", changing.world));
        isolated += usize::from(engine.wanted.policy.iter().any(|pair| pair.src_id != 0));
        let problems = engine.wanted.problems();
        conflicts += usize::from(problems.iter().any(|it| it.contains("claim the address")));
        published += usize::from(engine.wanted.endpoints.len() > 3);
    }
    // Worlds in which nothing is would prove nothing.
    println!("{isolated} with pairs, {conflicts} with conflicts, {published} with endpoints");
    assert!(isolated > 50 && conflicts > 200 && published > 200);
}
