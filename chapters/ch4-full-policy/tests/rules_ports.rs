//! Peers and ports of rules, in both directions. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::World;

/// A peer: pods labelled b of any namespace.
const ALL_B: &str = "{ podSelector: { matchLabels: { pod: b } }, namespaceSelector: {} }";
/// Pods of namespace z.
const ALL_Z: &str = "{ namespaceSelector: { matchLabels: { ns: z } } }";

#[test]
fn r11_one_peer_and_one_port_of_a_rule_must_match_and_rules_add_up() {
    let mut world = World::new();
    let one =
        format!("from: [{ALL_B}, {ALL_Z}], ports: [{{ port: 80 }}, {{ port: 53, protocol: UDP }}]");
    world.on_a(&format!("ingress: [{{ {one} }}, {{ from: [{ALL_Z}], ports: [{{ port: 81 }}] }}]"));
    world.expect(
        "x/b       > x/a  yes 80/TCP,53/UDP         no 81/TCP,53/TCP,80/UDP,ICMP
         z/a,z/b   > x/a  yes 80/TCP,53/UDP,81/TCP  no 53/TCP,80/UDP,81/UDP
         192.0.2.2 > x/a                            no 80/TCP,53/UDP,81/TCP",
    );
}

#[test]
fn r13_without_ports_a_rule_is_for_every_port_and_protocol() {
    let mut world = World::new();
    for ports in ["", ", ports: []", ", ports: null"] {
        let all = "80/TCP,65535/TCP,53/UDP,80/SCTP,ICMP,OTHER";
        world.on_a(&format!("ingress: [{{ from: [{ALL_B}]{ports} }}]"));
        world.expect(&format!("x/b > x/a yes {all}\n z/a > x/a no {all}"));
        world.on_a(&format!("policyTypes: [Egress], egress: [{{ to: [{ALL_B}]{ports} }}]"));
        world.expect(&format!(
            "x/a > x/b yes {all}\n x/a > z/a no {all}\n x/a > 192.0.2.2 no {all}"
        ));
    }
}
