//! Random worlds: what the engine wants in the maps, and what packets meet, must be what the
//! rules say when somebody reads them naively.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod oracle;
mod plugin;
mod probe;

use std::cell::RefCell;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ch3_identity_policy::{agent, api, maps};

use agent::identity::Identities;
use agent::local::Local;
use agent::wanted::{Objects, Wanted, wanted};
use api::{NewEndpoint, PodRef};
use maps::{EGRESS_ISOLATED, PolicyKey};
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

/// The agent's engine, as it lives through all worlds. Half of the pods are on its node.
struct Engine {
    directory: PathBuf,
    local: Local,
    identities: Identities,
}

impl Engine {
    fn new(test: &str) -> Self {
        let name = format!("properties-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let mut local = Local::load(directory.join("endpoints")).unwrap();
        for name in PODS.into_iter().filter(|name| is_here(name)) {
            let (namespace, pod) = name.split_once('/').unwrap();
            let pod = PodRef { namespace: namespace.into(), name: pod.into(), uid: None };
            let endpoint = NewEndpoint {
                container_id: String::new(),
                ifname: "eth0".into(),
                pod: Some(pod),
                address: address(name),
                mac: [0; 6],
                ifindex: 1,
            };
            local.insert(&format!("veth-{}", name.replace('/', "-")), endpoint).unwrap();
        }
        let identities = Identities::load(directory.join("identities"), Duration::ZERO).unwrap();
        Self { directory, local, identities }
    }

    fn wanted(&mut self, world: &World) -> Wanted {
        let mut objects = Objects::default();
        for mut object in world.objects() {
            let name = object["metadata"]["name"].as_str().unwrap().to_string();
            match object["kind"].as_str().unwrap() {
                "Namespace" => objects.namespaces.push(read(object)),
                "NetworkPolicy" => objects.policies.push(read(object)),
                _ => {
                    let name =
                        format!("{}/{name}", object["metadata"]["namespace"].as_str().unwrap());
                    object["spec"] =
                        json!({ "nodeName": if is_here(&name) { "here" } else { "there" } });
                    object["status"] = json!({ "podIPs": [{ "ip": address(&name) }] });
                    objects.pods.push(read(object));
                }
            }
        }
        wanted(&objects, "here", &mut self.local, &mut self.identities).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(object).unwrap())
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
    let engine = RefCell::new(Engine::new("random"));
    let counts = RefCell::new([0, 0]);
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&world(), |world| {
        let wanted = engine.borrow_mut().wanted(&world);
        for to in PODS {
            for from in PODS.into_iter().filter(|it| *it != to).map(Some).chain([None]) {
                let by_rules = world.allows(from, to);
                assert_eq!(lets_through(&wanted, from, to), by_rules, "{from:?} > {to}");
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
    let mut engine = Engine::new("unreadable");
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
        let wanted = engine.wanted(&world);
        for to in PODS {
            for from in PODS.into_iter().filter(|it| *it != to) {
                let concerned = from.starts_with("x/") || to.starts_with("x/");
                assert_eq!(lets_through(&wanted, Some(from), to), !concerned, "{from} > {to}");
            }
        }
        assert_eq!(wanted.problems.len(), 1, "{:?}", wanted.problems);
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
