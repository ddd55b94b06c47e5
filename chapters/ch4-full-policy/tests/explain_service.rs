//! `explain` through a Service's address: which backend, by its own port, as the packets go.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/chapter/mod.rs"]
mod chapter;
#[path = "../../ch3-identity-policy/tests/kube_api/mod.rs"]
mod kube_api;
#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
#[path = "../../ch3-identity-policy/tests/scene/mod.rs"]
mod scene;
mod services;
mod table;

use std::net::Ipv4Addr;
use std::time::Duration;

use kube_api::ApiServer;
use lab::{Node, wait_until};
use plugin::ready_node;
use probe::DEADLINE;
use serde_json::{Value, json};
use services::{services, who_answers};
use table::World;

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// A Service of namespace x by 80/UDP, and 81/TCP, behind which there is nobody.
fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "x", "name": "both" },
        "spec": { "clusterIP": SERVICE, "ports": [
            { "name": "ask", "port": 80, "protocol": "UDP" }, { "name": "none", "port": 81 },
        ] },
    })
}

/// A slice of it: each backend has its own port, so each has a slice.
fn slice(backend: Ipv4Addr, port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "namespace": "x", "name": format!("both-{port}"),
            "labels": { "kubernetes.io/service-name": "both" } },
        "ports": [{ "name": "ask", "port": port, "protocol": "UDP" }],
        "endpoints": [{ "addresses": [backend], "conditions": { "ready": true } }],
    })
}

fn explain(node: &Node, to: &str) -> String {
    let mut said = Err(anyhow::anyhow!("it was not asked"));
    wait_until(DEADLINE, || {
        said = node.run(&[lab::AGENT, "explain", "x/a", to]);
        said.is_ok()
    });
    said.unwrap()
}

/// Asserts the verdicts. On a busy machine an answer may come too late, and it is asked again.
#[track_caller]
fn expect(node: &Node, to: &str, expected: &[String]) -> String {
    let mut said = String::new();
    wait_until(DEADLINE, || {
        said = explain(node, to);
        verdicts(&said) == expected
    });
    assert_eq!(verdicts(&said), expected, "{said}");
    said
}

/// The lines that begin with who asks: the verdicts. The numbers of identities are left out.
fn verdicts(said: &str) -> Vec<String> {
    let mut verdicts = Vec::new();
    for line in said.lines().filter(|line| !line.starts_with(' ')) {
        let parts = line.split(" (identity ").enumerate();
        let part = |(number, part): (usize, &str)| match part.split_once(')') {
            Some((_, rest)) if number > 0 => rest.to_string(),
            _ => part.to_string(),
        };
        verdicts.push(parts.map(part).collect());
    }
    verdicts
}

#[test]
fn of_two_backends_with_different_ports_explain_names_the_one_that_answers() {
    let mut world = World::new();
    let [b, z] = ["x/b", "z/b"].map(|pod| world.cluster.ip(pod));
    services(&world.cluster, &[format!("10.96.0.10:80/UDP > {b}:8080,{z}:81")]);
    let node = |world: &World, name: &str, object: &Value| {
        world.cluster.node.write_manifest(name, &object.to_string()).unwrap();
    };
    node(&world, "service.yaml", &service());
    node(&world, "slice-b.yaml", &slice(b, 8080));
    node(&world, "slice-z.yaml", &slice(z, 81));
    let to_b = |ports: &str| {
        let to = table::ALL_B;
        format!("policyTypes: [Egress], egress: [{{ to: [{to}], ports: [{ports}] }}]")
    };
    for (ports, verdict, b_is, z_is) in [
        ("{ port: 8080, protocol: UDP }", "allowed in part, 1 of 2 backends", "allowed", "denied"),
        ("{ port: 81, protocol: UDP }", "allowed in part, 1 of 2 backends", "denied", "allowed"),
        ("{ protocol: UDP }", "allowed, 2 of 2 backends", "allowed", "allowed"),
        ("{ port: 80, protocol: UDP }", "denied, 0 of 2 backends", "denied", "denied"),
    ] {
        world.on_a(&to_b(ports));
        world.cluster.settle();
        let expected = [
            format!("x/a → 10.96.0.10 (Service x/both), 80/UDP: {verdict}"),
            format!("x/a → x/b, {b}:8080/UDP: {b_is}"),
            format!("x/a → z/b, {z}:81/UDP: {z_is}"),
        ];
        let said = expect(&world.cluster.node, "10.96.0.10:80/UDP", &expected);
        if ports.contains("8080") {
            assert!(said.contains("its port must be 8080/UDP, and is 81/UDP"), "{said}");
        }
        // And so it is.
        let answering = [("x/b", b_is), ("z/b", z_is)].into_iter().filter(|it| it.1 == "allowed");
        let expected: Vec<_> = answering.map(|it| (it.0.to_string(), 5)).collect();
        let all = expected.len() * 5;
        let answers = who_answers(&world.cluster, "x/a", (SERVICE, 80), 10, all);
        assert_eq!(answers, expected.into_iter().collect(), "{ports}");
    }
    what_leads_nowhere_is_said(&world);
    // Who reads the directory anew finds nothing wrong with them.
    let node = &world.cluster.node;
    node.stop_agent().unwrap();
    node.start_agent(plugin::AGENT.as_ref()).unwrap();
    let problems = world.cluster.problems();
    assert!(!problems.iter().any(|it| it.contains(".yaml")), "{problems:?}");
}

fn what_leads_nowhere_is_said(world: &World) {
    let node = &world.cluster.node;
    let [b, z] = ["x/b", "z/b"].map(|pod| world.cluster.ip(pod));
    let each_port = [
        "x/a → 10.96.0.10 (Service x/both), 80/UDP: denied, 0 of 2 backends".to_string(),
        format!("x/a → x/b, {b}:8080/UDP: denied"),
        format!("x/a → z/b, {z}:81/UDP: denied"),
        "x/a → 10.96.0.10 (Service x/both), 81/TCP: no backend is ready".to_string(),
    ];
    expect(node, "10.96.0.10", &each_port);
    for (to, line) in [
        ("10.96.0.11:80", "10.96.0.11 is no Service's address"),
        (
            "10.96.0.10:80",
            "a Service's address, but not by this port: x/both 80/UDP, x/both 81/TCP",
        ),
        (
            "10.96.0.10/ICMP",
            "a Service's address, but not by this port: x/both 80/UDP, x/both 81/TCP",
        ),
    ] {
        let said = explain(node, to);
        assert!(
            said.trim_end().ends_with(&format!("\n  {line}")) && verdicts(&said).len() == 1,
            "{said}"
        );
    }
    let pod = explain(node, "x/b:80");
    assert!(!pod.contains("Service"), "a pod's address is no Service's: {pod}");
    let json = node.run(&[lab::AGENT, "explain", "x/a", "10.96.0.10:80/UDP", "-o", "json"]);
    let json: Value = serde_json::from_str(&json.unwrap()).unwrap();
    assert_eq!((&json[0]["service"], &json[0]["port"]), (&"x/both".into(), &"80/UDP".into()));
    let backend = &json[0]["backends"][format!("{}:8080/UDP", world.cluster.ip("x/b"))];
    assert_eq!(backend["destination"]["name"], "x/b", "{json:#}");
    assert_eq!(backend["live"]["allowed"], false);
}

#[test]
fn in_a_cluster_the_api_server_is_asked_at_that_moment() {
    let node = ready_node();
    let [a, b, z] = [("x", "a"), ("x", "b"), ("z", "b")].map(|(namespace, name)| {
        node.run_pod(lab::PodSpec::new(name).namespace(namespace).label("pod", name)).unwrap();
        node.pod(namespace, name).unwrap().ip.unwrap()
    });
    assert_ne!(a, SERVICE);
    node.apply(
        "{ apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,
           metadata: { namespace: x, name: a }, spec: { policyTypes: [Egress],
           podSelector: { matchLabels: { pod: a } }, egress: [{ to: [{ podSelector: {} }] }] } }",
    )
    .unwrap();
    node.stop_agent().unwrap();
    let api_server = ApiServer::start(node);
    api_server.start_agent();
    let node = &api_server.node;
    node.wait_for_agent(Duration::from_secs(60)).unwrap();
    // What was not there when the agent began.
    let mut others = api_server.others.lock().unwrap();
    others.insert("services".into(), vec![service()]);
    others.insert("endpointslices".into(), vec![slice(b, 8080), slice(z, 81)]);
    drop(others);
    let expected = [
        "x/a → 10.96.0.10 (Service x/both), 80/UDP: allowed in part, 1 of 2 backends".to_string(),
        format!("x/a → x/b, {b}:8080/UDP: allowed"),
        format!("x/a → z/b, {z}:81/UDP: denied"),
    ];
    expect(node, "10.96.0.10:80/UDP", &expected);
    // Without its answer one still hears what the policies say of the address; and of an API server
    // that hangs no question hangs.
    let unknown = || {
        let said = explain(node, "10.96.0.10:80/UDP");
        assert!(said.contains("x/a is isolated for egress"), "{said}");
        assert!(said.contains("whether 10.96.0.10 is a Service's is not known: "), "{said}");
    };
    let waiting = api_server.others.lock().unwrap();
    (0..3).for_each(|_| unknown());
    drop(waiting);
    expect(node, "10.96.0.10:80/UDP", &expected);
    api_server.goes_away();
    unknown();
}
