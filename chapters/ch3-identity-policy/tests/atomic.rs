//! Whatever changes, and whatever changes at once: each packet is judged by the whole old world or
//! by the whole new one. `CHANGES=10000` tries more of them.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
// The chapter's own, where it has one.
include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chapter/oracle.in"));
mod plugin;
mod streams;

use std::time::Duration;

use chapter::client;
use lab::{Kind, Node, Pod, PodSpec};
use oracle::random::{NAMESPACES, PODS, world};
use oracle::{FLOW_PORTS, World, lets_flow};
use plugin::ready_node;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use streams::{Streams, Way};

/// A node whose objects are all in one file: what is written into it changes at once.
struct Scene {
    node: Node,
    pods: Vec<Pod>,
    manifests: Vec<Value>,
}

impl Scene {
    fn new(elsewhere: usize, peace: &World) -> Self {
        let node = ready_node();
        for name in NAMESPACES {
            let metadata = json!({ "name": name });
            let namespace =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
            node.apply(&namespace.to_string()).unwrap();
        }
        let run = |name: &&str| {
            let (namespace, name) = name.split_once('/').unwrap();
            node.run_pod(PodSpec::new(name).namespace(namespace)).unwrap()
        };
        let pods: Vec<_> = PODS.iter().map(run).collect();
        let manifest = |pod: &Pod| {
            let object = node.object(Kind::Pod, &pod.spec.namespace, &pod.spec.name);
            object.unwrap().unwrap()
        };
        let manifests = pods.iter().map(manifest).collect();
        let scene = Self { node, pods, manifests };
        scene.write("elsewhere.yaml", &(0..elsewhere).map(pod_elsewhere).collect::<Vec<_>>());
        scene.write("world.yaml", &scene.objects(peace, 0));
        for name in PODS {
            let file = format!("pod_{}.yaml", name.replace('/', "_"));
            scene.node.remove_manifest(&file).unwrap();
        }
        for name in NAMESPACES {
            scene.node.remove_manifest(&format!("namespace_{name}.yaml")).unwrap();
        }
        scene.wait_for(0);
        scene
    }

    fn write(&self, file: &str, objects: &[Value]) {
        let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
        if !documents.is_empty() {
            self.node.write_manifest(file, &documents.join("\n---\n")).unwrap();
        }
    }

    /// A world's objects, and a policy of which the agent tells when it has taken them in.
    fn objects(&self, world: &World, round: u32) -> Vec<Value> {
        let fence = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "namespace": "fence", "name": "fence" },
            "spec": { "ingress": [{ format!("turn-{round}"): true }] },
        });
        let mut objects = world.objects();
        for (object, manifest) in
            objects.iter_mut().filter(|it| it["kind"] == "Pod").zip(&self.manifests)
        {
            let labels = object["metadata"]["labels"].take();
            let containers = object["spec"]["containers"].take();
            *object = manifest.clone();
            object["metadata"]["labels"] = labels;
            object["spec"]["containers"] = containers;
        }
        objects.push(fence);
        objects
    }

    fn wait_for(&self, round: u32) {
        let turn = format!("turn-{round}\"");
        // On a busy machine it may not answer in time.
        let health = || client::get::<Value>("/v1/healthz").unwrap_or_default().to_string();
        let is_seen = || self.node.enter(health).unwrap().replace('\\', "").contains(&turn);
        assert!(lab::wait_until(Duration::from_secs(60), is_seen), "the agent does not see {turn}");
    }
}

fn pod_elsewhere(number: usize) -> Value {
    let value = ["x", "y", "1"][number % 3];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": NAMESPACES[number % 2], "name": format!("elsewhere-{number}"),
            "uid": format!("elsewhere-{number}"), "labels": { "app": value, "tier": value }
        },
        "spec": { "nodeName": "elsewhere" },
        "status": { "podIPs": [{ "ip": format!("10.64.{}.{}", number / 250, number % 250 + 1) }] }
    })
}

/// Part of another world, or all of it.
fn next(before: &World, other: World, kind: u32) -> World {
    match kind % 6 {
        0 => World { policies: other.policies, ..before.clone() },
        1 => World { pods: other.pods, ..before.clone() },
        2 => World { namespaces: other.namespaces, ..before.clone() },
        3 => World { policies: other.policies, pods: other.pods, ..before.clone() },
        4 => World { hosts: other.hosts, ..before.clone() },
        _ => other,
    }
}

fn no_packet_meets_a_mixture(elsewhere: usize) {
    let changes = std::env::var("CHANGES").map_or(100, |it| it.parse().unwrap());
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    println!("SEED={seed} makes the same worlds");
    let bytes = [seed.to_le_bytes(); 4].concat();
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let mut random = || world().new_tree(&mut runner).unwrap().current();
    // Nobody is isolated.
    let mut before = World { policies: [].into(), ..random() };
    let scene = Scene::new(elsewhere, &before);
    let streams = Streams::open(&scene.node, &scene.pods, &FLOW_PORTS);
    let (sent, wrong) = streams.run(|| {
        for round in 1..=changes {
            let new = next(&before, random(), round);
            streams.begin(|flow| {
                let (from, to) = (PODS[flow.from], PODS[flow.to]);
                lets_flow(&new, from, to, flow.port, flow.way == Way::Hidden)
            });
            scene.write("world.yaml", &scene.objects(&new, round));
            scene.wait_for(round);
            streams.let_pass(2);
            before = new;
        }
    });
    println!(
        "{changes} changes, {elsewhere} pods elsewhere, {sent} datagrams, {} wrong",
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(sent > u64::from(changes) * 60, "{sent} prove little");
}

#[test]
fn no_packet_meets_half_a_change() {
    no_packet_meets_a_mixture(0);
}

#[test]
fn no_packet_meets_half_a_change_beside_100_pods_of_other_nodes() {
    no_packet_meets_a_mixture(100);
}

#[test]
fn no_packet_meets_half_a_change_beside_1000_pods_of_other_nodes() {
    no_packet_meets_a_mixture(1000);
}
