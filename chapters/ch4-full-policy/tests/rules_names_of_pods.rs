//! Who has which name for a port, and blocks beside names. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use serde_json::json;
use table::{ALL_PODS, World, about, container, pod, with_ports};

const HTTP: &str = "[{ port: http }]";

/// Everybody calls another port http, and x/c none.
fn world() -> World {
    World::with([
        with_ports("x/a", &["http 80/TCP", "dns 53/UDP"]),
        with_ports("x/b", &["http 81/TCP"]),
        with_ports("z/a", &["http 82/TCP", "dns 200/UDP"]),
        pod("x/c"),
    ])
}

/// A policy on x/a with one egress rule.
fn egress(world: &mut World, rule: &str) {
    world.on_a(&format!("policyTypes: [Egress], egress: [{{ {rule} }}]"));
}

#[test]
fn r31_a_name_counts_for_the_pod_behind_a_service() {
    let mut world = World::with([
        with_ports("x/b", &["http 81/TCP"]),
        with_ports("x/c", &["http 80/TCP"]),
        pod("x/a"),
        pod("x/free"),
    ]);
    egress(&mut world, &format!("ports: {HTTP}"));
    for (backend, verdicts) in [("x/b", "yes 81/TCP no 80/TCP"), ("x/c", "yes 80/TCP no 81/TCP")] {
        world.cluster.service(backend);
        world.expect(&format!(
            "x/a > 10.96.0.10 {verdicts}\n x/free > 10.96.0.10 yes 80/TCP,81/TCP"
        ));
    }
}

#[test]
fn r33_a_name_from_a_block_is_the_subjects_number() {
    let mut world = world();
    let address = world.cluster.ip("x/b");
    for (block, who, others) in [
        ("192.0.2.2/32", "192.0.2.2", "192.0.2.3,x/b,z/a"),
        (&*format!("{address}/32"), "x/b", "z/a,192.0.2.2"),
    ] {
        world.on_a(&format!(
            "ingress: [{{ from: [{{ ipBlock: {{ cidr: {block} }} }}], ports: {HTTP} }}]"
        ));
        world.expect(&format!(
            "{who} > x/a yes 80/TCP no 81/TCP,82/TCP,ICMP
             {others} > x/a no 80/TCP,81/TCP"
        ));
    }
}

#[test]
fn r34_a_name_to_a_block_is_no_port_also_if_pods_are_in_it() {
    let mut world = world();
    let to = "to: [{ ipBlock: { cidr: 0.0.0.0/0 } }]";
    egress(&mut world, &format!("{to}, ports: {HTTP}"));
    world.expect("x/a > x/b,z/a,192.0.2.2,10.13.0.1 no 80/TCP,81/TCP,82/TCP,ICMP");
    egress(&mut world, &format!("{to}, ports: [{{ port: http }}, {{ port: 100 }}]"));
    world.expect("x/a > x/b,z/a,192.0.2.2,10.13.0.1 yes 100/TCP no 80/TCP,81/TCP,82/TCP");
}

#[test]
fn r35_sidecars_have_names_and_init_containers_have_none() {
    let with_init = |name: &str, policy: &str| {
        let mut pod = with_ports(name, &["http 80/TCP"]);
        let mut init = container(&["http 81/TCP"]);
        init["restartPolicy"] = json!(policy);
        pod.init_containers = vec![container(&["http 82/TCP"]), init];
        pod
    };
    let mut world = World::with([
        with_init("x/sidecar", "Always"),
        with_init("x/init", "OnFailure"),
        pod("x/a"),
    ]);
    let table =
        "x/a > x/sidecar yes 80/TCP,81/TCP no 82/TCP\n x/a > x/init yes 80/TCP no 81/TCP,82/TCP";
    for pod in ["sidecar", "init"] {
        let spec = about(pod, &format!("ingress: [{{ ports: {HTTP} }}]"));
        world.cluster.policy(&format!("x/{pod}"), &spec);
    }
    world.expect(table);
    world.cluster.delete_policy("x/sidecar");
    world.cluster.delete_policy("x/init");
    egress(&mut world, &format!("ports: {HTTP}"));
    world.expect(table);
}

#[test]
fn r36_a_name_that_is_given_twice_is_both() {
    let mut twice = with_ports("x/b", &["dns 53/UDP", "dns 53/TCP", "http 80/TCP"]);
    twice.containers.push(container(&["http 81/TCP"]));
    let mut world = World::with([twice, pod("x/a"), pod("z/a")]);
    for (ports, verdicts) in [
        ("[{ port: dns }]", "yes 53/TCP no 53/UDP,80/TCP"),
        ("[{ port: dns, protocol: UDP }]", "yes 53/UDP no 53/TCP,80/UDP"),
        ("[{ port: dns }, { port: dns, protocol: UDP }]", "yes 53/UDP,53/TCP no 80/TCP"),
        (HTTP, "yes 80/TCP,81/TCP no 82/TCP,53/TCP"),
    ] {
        world.policies(&[("x/policy", &about("b", &format!("ingress: [{{ ports: {ports} }}]")))]);
        world.expect(&format!("x/a > x/b {verdicts}"));
        egress(&mut world, &format!("ports: {ports}"));
        let no = verdicts.replace("yes", "no");
        world.expect(&format!("x/a > x/b {verdicts}\n x/a > z/a {no}"));
    }
}

#[test]
fn r37_another_pod_of_the_name_has_its_own_numbers() {
    let mut world = world();
    egress(&mut world, &format!("to: [{ALL_PODS}], ports: {HTTP}"));
    world.expect("x/a > x/b yes 81/TCP no 80/TCP");
    for (port, verdicts) in
        [("http 80/TCP", "yes 80/TCP no 81/TCP"), ("web 80/TCP", "no 80/TCP,81/TCP")]
    {
        world.cluster.remove("x/b");
        world.run(with_ports("x/b", &[port]));
        world.expect(&format!("x/a > x/b {verdicts}\n x/a > z/a yes 82/TCP no 80/TCP"));
    }
}
