//! Blocks and translated addresses: what counts is where a packet comes from when it enters a pod, and
//! where it goes when all is translated. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::{NODE, OUTSIDE, World};

#[test]
fn r44_a_block_of_sources_is_about_the_source_that_the_pod_sees() {
    let mut world = World::new();
    let target = world.cluster.ip("x/a");
    // A NodePort as kube-proxy makes it: with the policy Cluster the node's address becomes the source.
    for (policy, postrouting, source) in
        [("Local", "accept", OUTSIDE), ("Cluster", "iifname uplink masquerade", "10.13.0.1")]
    {
        println!("externalTrafficPolicy: {policy}");
        let rules = format!(
            "table ip nodeport
             delete table ip nodeport
             table ip nodeport {{
               chain prerouting {{
                 type nat hook prerouting priority dstnat
                 ip daddr 192.0.2.1 tcp dport 8080 dnat to {target}:80
               }}
               chain postrouting {{
                 type nat hook postrouting priority srcnat
                 {postrouting}
               }}
             }}"
        );
        world.cluster.node.run(&["nft", &rules]).unwrap();
        for block in [OUTSIDE, "10.13.0.1"] {
            let verdict = if block == source { "yes" } else { "no" };
            let from = format!("from: [{{ ipBlock: {{ cidr: {block}/32 }} }}]");
            world.on_a(&format!("ingress: [{{ {from}, ports: [{{ port: 80 }}] }}]"));
            world.expect(&format!("192.0.2.2 > 192.0.2.1 {verdict} 8080/TCP"));
        }
        // The number is the pod's, too.
        world.on_a("ingress: [{ ports: [{ port: 8080 }] }]");
        world.expect("192.0.2.2 > 192.0.2.1 no 8080/TCP");
    }
}

#[test]
fn r45_a_block_of_targets_is_about_the_target_behind_a_service() {
    let mut world = World::new();
    for backend in ["x/b", OUTSIDE, NODE] {
        world.cluster.service(backend);
        let address = world.cluster.ip(backend);
        for (block, verdict) in [
            ("10.96.0.10/32".into(), "no"),
            ("10.96.0.0/12".into(), "no"),
            (format!("{address}/32"), "yes"),
            ("0.0.0.0/0".into(), "yes"),
            // It holds all, but not the backend.
            (format!("0.0.0.0/0, except: [{address}/32]"), "no"),
        ] {
            let to = format!("to: [{{ ipBlock: {{ cidr: {block} }} }}], ports: [{{ port: 80 }}]");
            world.on_a(&format!("policyTypes: [Egress], egress: [{{ {to} }}]"));
            world.expect(&format!(
                "x/a > 10.96.0.10 {verdict} 80/TCP no 81/TCP
                 z/a > 10.96.0.10 yes 80/TCP,81/TCP
                 x/a > {backend} {verdict} 80/TCP no 81/TCP"
            ));
        }
    }
}

/// Of a Service without a backend nobody translates anything: here its address is somebody's outside,
/// so that what gets through is answered.
#[test]
fn r45_an_address_that_nobody_translates_is_judged_as_it_is() {
    let mut world = World::new();
    let outside = world.cluster.places[OUTSIDE].sandbox.clone().unwrap();
    outside
        .run(&world.cluster.node, &["ip", "addr", "add", "10.96.0.20/32", "dev", "eth0"])
        .unwrap();
    world.cluster.node.run(&["ip", "route", "add", "10.96.0.20", "via", OUTSIDE]).unwrap();
    for (block, verdict) in
        [("10.96.0.20/32", "yes"), ("10.96.0.10/32", "no"), ("10.13.0.0/24", "no")]
    {
        let to = format!("to: [{{ ipBlock: {{ cidr: {block} }} }}]");
        world.on_a(&format!("policyTypes: [Egress], egress: [{{ {to} }}]"));
        world.expect(&format!(
            "x/a > 10.96.0.20 {verdict} 80/TCP,81/TCP\n z/a > 10.96.0.20 yes 80/TCP,81/TCP"
        ));
    }
}
