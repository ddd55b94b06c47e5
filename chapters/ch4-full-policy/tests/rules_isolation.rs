//! Whom a policy isolates, in which direction. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::{ALL_B, World, about};

/// Everything that is tried of a pair.
const ALL: &str = "80/TCP,65535/TCP,53/UDP,80/SCTP,ICMP";
/// Everybody but x/a.
const OTHERS: &str = "x/b,z/a,192.0.2.2";

/// Is x/a open to others, and are others to it?
fn expect(world: &World, comes_in: bool, gets_out: bool) {
    let word = |is_open| if is_open { "yes" } else { "no" };
    let (comes_in, gets_out) = (word(comes_in), word(gets_out));
    world.expect(&format!(
        "{OTHERS} > x/a {comes_in} {ALL}
         x/a > {OTHERS},10.13.0.1 {gets_out} {ALL}"
    ));
}

#[test]
fn r1_who_is_not_isolated_for_a_direction_may_do_everything_in_it() {
    let mut world = World::new();
    expect(&world, true, true);
    world.on_a("policyTypes: [Ingress]");
    expect(&world, false, true);
    world.on_a("policyTypes: [Egress]");
    expect(&world, true, false);
    world.expect(&format!("x/b > {OTHERS} yes {ALL}"));
}

#[test]
fn r2_without_rules_nothing_passes_in_a_direction_that_is_named() {
    let mut world = World::new();
    for rules in ["", "[]", "null"] {
        let field = |name| if rules.is_empty() { "".into() } else { format!(", {name}: {rules}") };
        world.on_a(&format!("policyTypes: [Ingress]{}", field("ingress")));
        expect(&world, false, true);
        world.on_a(&format!("policyTypes: [Egress]{}", field("egress")));
        expect(&world, true, false);
        let both = [field("ingress"), field("egress")].concat();
        world.on_a(&format!("policyTypes: [Ingress, Egress]{both}"));
        expect(&world, false, false);
    }
}

#[test]
fn r3_types_that_are_missing_follow_from_the_rules() {
    let mut world = World::new();
    for types in ["", "policyTypes: [], ", "policyTypes: null, "] {
        for (rules, comes_in, gets_out) in [
            ("ingress: []", false, true),
            ("ingress: [{}]", true, true),
            ("egress: []", false, true),
            ("egress: null", false, true),
            ("egress: [{}]", false, true),
            ("egress: [{ ports: [{ protocol: TCP, port: 0 }] }]", false, false),
            ("ingress: [{}], egress: [{ to: [{}] }]", true, false),
        ] {
            world.on_a(&format!("{types}{rules}"));
            expect(&world, comes_in, gets_out);
        }
    }
    world.on_a("egress: [{ ports: [{ port: 80 }] }]");
    world.expect("x/b > x/a no 80/TCP\n x/a > x/b yes 80/TCP no 81/TCP");
}

#[test]
fn r4_ingress_rules_mean_nothing_to_a_policy_of_type_egress() {
    let mut world = World::new();
    for rules in ["[]", "[{ ports: [{ port: 80 }] }]"] {
        world.on_a(&format!("policyTypes: [Egress], ingress: {rules}"));
        expect(&world, true, false);
    }
}

#[test]
fn r5_egress_rules_mean_nothing_to_a_policy_of_type_ingress() {
    let mut world = World::new();
    for rules in ["[]", "[{ ports: [{ port: 80 }] }]"] {
        world.on_a(&format!("policyTypes: [Ingress], egress: {rules}"));
        expect(&world, false, true);
    }
}

#[test]
fn r6_policies_add_up_in_any_order() {
    let mut world = World::new();
    for (types, field, peers) in [("Ingress", "ingress", "from"), ("Egress", "egress", "to")] {
        let spec = |rules: &str| about("a", &format!("policyTypes: [{types}], {field}: [{rules}]"));
        let deny = &spec("");
        let b_80 = &spec(&format!("{{ {peers}: [{ALL_B}], ports: [{{ port: 80 }}] }}"));
        let all_81 = &spec("{ ports: [{ port: 81 }] }");
        for [first, second, third] in
            [[deny, b_80, all_81], [all_81, deny, b_80], [b_80, all_81, deny]]
        {
            world.policies(&[]);
            world.policies(&[("x/p1", first), ("x/p2", second), ("x/p3", third)]);
            world.expect(match types {
                "Ingress" => {
                    "x/b > x/a yes 80/TCP,81/TCP no 82/TCP,ICMP
                     z/a > x/a yes 81/TCP no 80/TCP,82/TCP"
                }
                _ => {
                    "x/a > x/b yes 80/TCP,81/TCP no 82/TCP,ICMP
                     x/a > z/a yes 81/TCP no 80/TCP,82/TCP"
                }
            });
        }
    }
}

#[test]
fn r7_who_loses_the_last_policy_is_free_and_who_loses_one_of_two_is_not() {
    let mut world = World::new();
    let both = |rules: &str| about("a", &format!("policyTypes: [Ingress, Egress]{rules}"));
    let port = &both(", ingress: [{ ports: [{ port: 80 }] }], egress: [{ ports: [{ port: 80 }] }]");
    let deny = &both("");
    let pairs = |verdicts: &str| format!("x/b > x/a {verdicts}\n x/a > x/b,192.0.2.2 {verdicts}");
    world.policies(&[("x/deny", deny), ("x/port", port)]);
    world.expect(&pairs("yes 80/TCP no 81/TCP"));
    world.policies(&[("x/port", port)]);
    world.expect(&pairs("yes 80/TCP no 81/TCP"));
    world.policies(&[("x/deny", deny)]);
    world.expect(&pairs("no 80/TCP,81/TCP"));
    world.policies(&[]);
    world.expect(&pairs(&format!("yes {ALL}")));
}

#[test]
fn r8_the_sources_egress_and_the_targets_ingress_must_both_allow_it() {
    let mut world = World::new();
    let ports = "ports: [{ port: 80 }, { port: 81 }]";
    let out =
        &about("a", &format!("policyTypes: [Egress], egress: [{{ to: [{ALL_B}], {ports} }}]"));
    let from_a = "from: [{ podSelector: { matchLabels: { pod: a } } }]";
    let ports = "ports: [{ port: 80 }, { port: 82 }]";
    let into = &about("b", &format!("ingress: [{{ {from_a}, {ports} }}]"));
    world.policies(&[("x/out", out), ("x/in", into)]);
    world.expect(
        "x/a > x/b yes 80/TCP         no 81/TCP,82/TCP
         x/a > z/b yes 80/TCP,81/TCP  no 82/TCP
         z/a > x/b                    no 80/TCP,81/TCP,82/TCP
         x/b > x/a yes 81/TCP,82/TCP",
    );
    world.policies(&[("x/in", into)]);
    world.expect("x/a > x/b yes 80/TCP,82/TCP no 81/TCP");
    world.policies(&[("x/out", out)]);
    world.expect("x/a > x/b yes 80/TCP,81/TCP no 82/TCP");
}

#[test]
fn r9_to_be_called_by_somebody_is_not_to_call() {
    let mut world = World::new();
    let both = "policyTypes: [Ingress, Egress]";
    world.on_a(&format!("{both}, ingress: [{{ from: [{ALL_B}], ports: [{{ port: 80 }}] }}]"));
    world.expect("x/b > x/a yes 80/TCP no 81/TCP\n x/a > x/b no 80/TCP,81/TCP");
    world.on_a(&format!("{both}, egress: [{{ to: [{ALL_B}], ports: [{{ port: 80 }}] }}]"));
    world.expect("x/a > x/b yes 80/TCP no 81/TCP\n x/b > x/a no 80/TCP,81/TCP");
}
