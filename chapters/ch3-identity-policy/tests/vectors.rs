//! NetworkPolicy test vectors: what Kubernetes' end-to-end tests and cyclonus apply, and who
//! reaches whom then. They are not part of this repository: NETPOL_VECTORS says where they are.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod cases;
mod chapter;
mod oracle;
mod plugin;
mod probe;

use cases::{Case, Step, act};
use chapter::client;
use oracle::{World, list};
use probe::Cluster;
use serde_json::Value;

/// Does no policy of the case say anything that this chapter does not enforce?
fn is_enforced(case: &Case) -> bool {
    let rules = |spec: &Value| [list(&spec["ingress"]), list(&spec["egress"])].concat();
    let rule_is = |rule: &Value| {
        let peers = [list(&rule["from"]), list(&rule["to"])].concat();
        list(&rule["ports"]).is_empty() && peers.iter().all(|peer| peer["ipBlock"].is_null())
    };
    let spec_is = |spec: &Value| {
        let types = list(&spec["policyTypes"]);
        !types.contains(&"Egress".into()) && rules(spec).iter().all(rule_is)
    };
    let actions = case.steps.iter().flat_map(|step| &step.actions);
    let policies = actions.flat_map(|it| [&it["createPolicy"], &it["updatePolicy"]]);
    policies.filter(|it| !it.is_null()).all(|policy| spec_is(&policy["spec"]))
}

/// What the rules say of this chapter must be what the vectors say, or less where it lacks
/// something; itself a pod reaches always, though some say that it does not. Returns how many
/// statements there are.
fn compare(world: &World, step: &Step, is_enforced: bool) -> usize {
    for (attempt, allowed) in step.expected.iter().filter(|(it, _)| it.from != it.to) {
        let by_rules = world.allows(Some(&attempt.from), &attempt.to);
        assert!(by_rules == *allowed || (!is_enforced && *allowed), "{attempt}: {allowed}");
    }
    step.expected.len()
}

/// What has just been seen on the datapath is what `explain` says, of the policies and of the maps.
fn explains(cluster: &Cluster, world: &World) {
    let ask = || {
        for from in world.pods.keys() {
            for to in world.pods.keys() {
                let path = format!("/v1/explain?from={from}&to={to}");
                let it: Value = client::get(&path).unwrap();
                let allowed = world.allows(Some(from), to);
                assert_eq!(it["explanation"]["allowed"], allowed, "{it:#}");
                assert_eq!(it["live"]["allowed"], allowed, "{it:#}");
            }
        }
    };
    cluster.node.enter(ask).unwrap();
}

/// Runs all cases, one after the other on one node. Returns how many are enforced completely,
/// how many are not, and how many statements they make.
fn run(cases: &[Case]) -> (usize, usize, usize) {
    let mut cluster = Cluster::new(&[]);
    let mut counts = (0, 0, 0);
    for case in cases {
        let is_enforced = is_enforced(case);
        println!("{}", case.title);
        let mut world = case.start.clone();
        cluster.replace(&world.objects());
        for step in &case.steps {
            step.actions.iter().for_each(|action| act(&mut world, action));
            if let Some(after) = &step.after {
                assert_eq!((&world.namespaces, &world.pods), (&after.namespaces, &after.pods));
            }
            counts.2 += compare(&world, step, is_enforced);
            cluster.replace(&world.objects());
            cluster.expect(|from, to| world.allows(Some(from), to));
            if is_enforced {
                explains(&cluster, &world);
            }
        }
        if is_enforced { counts.0 += 1 } else { counts.1 += 1 }
    }
    counts
}

#[test]
fn kubernetes_end_to_end_tests() {
    if let Some(directory) = cases::directory("kubernetes_end_to_end_tests") {
        assert_eq!(run(&cases::end_to_end(&directory)), (23, 25, 711));
    }
}

#[test]
fn cyclonus() {
    if let Some(directory) = cases::directory("cyclonus") {
        assert_eq!(run(&cases::cyclonus(&directory)), (10, 220, 123_669));
    }
}
