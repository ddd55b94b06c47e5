//! From and to where: `ipBlock`. The numbers are those of POLICY.md.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../../ch3-identity-policy/tests/plugin/mod.rs"]
mod plugin;
#[path = "../../ch3-identity-policy/tests/probe/mod.rs"]
mod probe;
mod table;

use table::{ALL_B, World, about, pod};

/// A peer.
fn block(cidr: &str, except: &[&str]) -> String {
    format!("{{ ipBlock: {{ cidr: {cidr}, except: [{}] }} }}", except.join(", "))
}

/// The block of one address: somebody's.
fn only(world: &World, pod: &str) -> String {
    format!("{}/32", world.cluster.ip(pod))
}

/// A policy on x/a with one egress rule.
fn egress(world: &mut World, rule: &str) {
    world.on_a(&format!("policyTypes: [Egress], egress: [{{ {rule} }}]"));
}

#[test]
fn r38_a_block_is_its_cidr_without_its_excepts() {
    let mut world = World::new();
    for (from, verdicts) in [
        (block("192.0.2.0/24", &["192.0.2.3/32"]), ["yes", "no"]),
        (block("192.0.2.2/31", &["192.0.2.2/32"]), ["no", "yes"]),
        (block("192.0.2.2/31", &[]), ["yes", "yes"]),
        (block("192.0.2.3/24", &[]), ["yes", "yes"]), // bits that do not count
        (block("192.0.2.2/32", &[]), ["yes", "no"]),
        (block("192.0.2.4/30", &[]), ["no", "no"]),
        (block("0.0.0.0/0", &["192.0.2.2/31"]), ["no", "no"]),
        (block("0.0.0.0/0", &["0.0.0.0/1", "128.0.0.0/2", "192.0.2.2/32"]), ["no", "yes"]),
        (block("192.0.2.0/24", &["192.0.2.0/30", "192.0.2.3/32"]), ["no", "no"]),
    ] {
        world.on_a(&format!("ingress: [{{ from: [{from}] }}]"));
        let [two, three] = verdicts;
        world.expect(&format!(
            "192.0.2.2 > x/a {two} 80/TCP,53/UDP,ICMP\n 192.0.2.3 > x/a {three} 80/TCP,ICMP"
        ));
    }
    for (except, uplink, outside) in [("192.0.2.2/32", "yes", "no"), ("192.0.2.1/32", "no", "yes")]
    {
        egress(&mut world, &format!("to: [{}]", block("192.0.2.0/24", &[except])));
        world.expect(&format!(
            "x/a > 192.0.2.1 {uplink} 80/TCP,ICMP
             x/a > 192.0.2.2 {outside} 80/TCP,53/UDP,ICMP
             x/a > x/b,10.13.0.1 no 80/TCP"
        ));
    }
}

/// What one item excepts, another one may give, in any order; that of the same rule, of another one, of
/// another policy.
#[test]
fn r39_an_except_takes_away_from_its_own_item_only() {
    let mut world = World::new();
    let b = only(&world, "x/b");
    let holed = block("10.13.0.0/24", &[&b]);
    let filled = block(&b, &[]);
    let without = "x/b no 80/TCP,ICMP\n z/a yes 80/TCP,ICMP\n 192.0.2.2 no 80/TCP";
    let with = "x/b,z/a yes 80/TCP,ICMP\n 192.0.2.2 no 80/TCP";
    world.each_way(&[(&holed, "[]")], without);
    for [first, second] in [[&holed, &filled], [&filled, &holed]] {
        world.each_way(&[(&format!("{first}, {second}"), "[]")], with);
        world.each_way(&[(first, "[]"), (second, "[]")], with);
        let spec = |from: &str| about("a", &format!("ingress: [{{ from: [{from}] }}]"));
        world.policies(&[]);
        world.policies(&[("x/p1", &spec(first)), ("x/p2", &spec(second))]);
        world.expect("x/b,z/a > x/a yes 80/TCP\n 192.0.2.2 > x/a no 80/TCP");
        world.policies(&[("x/p1", &spec(&holed))]);
        world.expect("z/a > x/a yes 80/TCP\n x/b > x/a no 80/TCP");
    }
}

#[test]
fn r40_a_block_selects_pods_by_their_address() {
    let mut world = World::new();
    let b = block(&only(&world, "x/b"), &[]);
    let ports = "[{ port: 80 }]";
    world.each_way(&[(&b, ports)], "x/b yes 80/TCP no 81/TCP\n z/b,z/a,192.0.2.2 no 80/TCP");
    world.each_way(
        &[(&b, "[]")],
        "x/b yes 80/TCP,53/UDP,80/SCTP,ICMP,OTHER\n z/b no 80/TCP,ICMP,OTHER",
    );
    // The next pod of its name has another address.
    let address = world.cluster.ip("x/b");
    world.cluster.remove("x/b");
    world.run(pod("x/b"));
    assert_ne!(world.cluster.ip("x/b"), address);
    world.each_way(&[(&b, ports)], "x/b,z/b no 80/TCP");
}

#[test]
fn r41_a_block_selects_the_node_by_each_of_its_addresses() {
    let mut world = World::new();
    egress(&mut world, "to: [{ ipBlock: { cidr: 192.0.2.1/32 } }], ports: [{ port: 8080 }]");
    world.expect(
        "x/a > 192.0.2.1 yes 8080/TCP no 80/TCP,ICMP\n x/a > 10.13.0.1,192.0.2.2 no 8080/TCP",
    );
    egress(
        &mut world,
        "to: [{ ipBlock: { cidr: 10.13.0.1/32 } }], ports: [{ port: 53, protocol: UDP }]",
    );
    world.expect("x/a > 10.13.0.1 yes 53/UDP no 53/TCP\n x/a > 192.0.2.1,192.0.2.2,x/b no 53/UDP");
}

#[test]
fn r42_who_is_in_an_except_may_be_chosen_by_a_selector() {
    let mut world = World::new();
    let holed = block("10.13.0.0/24", &[&only(&world, "x/b"), &only(&world, "z/a")]);
    let table = "x/b,z/b yes 80/TCP,ICMP\n z/a,192.0.2.2 no 80/TCP,ICMP";
    world.each_way(&[(&format!("{holed}, {ALL_B}"), "[]")], table);
    world.each_way(&[(ALL_B, "[]"), (&holed, "[]")], table);
}

#[test]
fn r43_the_block_of_all_addresses_is_everybody_pods_and_node_too() {
    let mut world = World::new();
    let all = "yes 80/TCP,53/UDP,80/SCTP,ICMP,OTHER";
    world.each_way(&[(&block("0.0.0.0/0", &[]), "[]")], &format!("x/b,z/a,192.0.2.2 {all}"));
    world.expect(&format!("x/a > 10.13.0.1 {all}\n x/a > 192.0.2.1 yes 80/TCP,ICMP"));
    let but_z_a = block("0.0.0.0/0", &[&only(&world, "z/a")]);
    world.each_way(
        &[(&but_z_a, "[{ port: 80 }]")],
        "x/b,192.0.2.2 yes 80/TCP no 81/TCP,ICMP\n z/a no 80/TCP",
    );
    world.expect("x/a > 10.13.0.1 yes 80/TCP no 81/TCP,ICMP");
}

#[test]
fn r46_an_ipv6_block_is_nobody_and_no_error() {
    let mut world = World::new();
    for v6 in ["'::/0'", "'2001:db8::/32'", "'::ffff:0.0.0.0/96'"] {
        let peer = &*block(v6, &[]);
        world.each_way(&[(peer, "[]")], "x/b,z/a,192.0.2.2 no 80/TCP,ICMP");
        assert_eq!(world.told("x/policy"), [""; 0]);
        let rules = [(peer, "[]"), ("{ ipBlock: { cidr: 192.0.2.0/24 } }", "[]")];
        world.each_way(&rules, "192.0.2.2 yes 80/TCP,ICMP\n x/b no 80/TCP");
    }
    let peer = block("'2001:db8::/32'", &["'2001:db8:1::/48'"]);
    world.each_way(&[(&peer, "[]")], "x/b,192.0.2.2 no 80/TCP,ICMP");
    assert_eq!(world.told("x/policy"), [""; 0]);
}

/// The longest prefix is found, and says what all around it say.
#[test]
fn r48_nested_blocks_of_several_policies_add_up() {
    let mut world = World::new();
    let b = only(&world, "x/b");
    let blocks = [
        (block("0.0.0.0/0", &[]), "82"),
        (block("10.13.0.0/24", &[]), "80"),
        (block(&b, &[]), "81"),
        (block("10.0.0.0/8", &[&b]), "100"),
    ];
    let rules: Vec<_> =
        blocks.iter().map(|(who, port)| (&**who, format!("[{{ port: {port} }}]"))).collect();
    let rules: Vec<_> = rules.iter().map(|(who, ports)| (*who, &**ports)).collect();
    let table = "x/b       yes 80/TCP,81/TCP,82/TCP   no 100/TCP,200/TCP,ICMP
                 z/a       yes 80/TCP,82/TCP,100/TCP  no 81/TCP,200/TCP,ICMP
                 192.0.2.2 yes 82/TCP                 no 80/TCP,81/TCP,100/TCP";
    world.each_way(&rules, table);
    world.each_way(&rules.iter().rev().copied().collect::<Vec<_>>(), table);

    let spec = |(who, ports): &(&str, &str)| {
        about("a", &format!("ingress: [{{ from: [{who}], ports: {ports} }}]"))
    };
    let specs: Vec<_> = rules.iter().map(spec).collect();
    let names = ["x/p1", "x/p2", "x/p3", "x/p4"];
    let all: Vec<_> = names.into_iter().zip(specs.iter().map(String::as_str)).collect();
    world.policies(&all);
    world.expect(
        "x/b > x/a       yes 80/TCP,81/TCP,82/TCP   no 100/TCP
         z/a > x/a       yes 80/TCP,82/TCP,100/TCP  no 81/TCP
         192.0.2.2 > x/a yes 82/TCP                 no 80/TCP,81/TCP,100/TCP",
    );
    // The outermost goes, and with it its port, however deep.
    world.policies(&all[1..]);
    world.expect(
        "x/b > x/a       yes 80/TCP,81/TCP   no 82/TCP
         z/a > x/a       yes 80/TCP,100/TCP  no 82/TCP
         192.0.2.2 > x/a no 82/TCP",
    );
}
