//! Policies, and a table of who then reaches whom, by which ports.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use lab::PodSpec;
use serde_json::{Value, json};

use crate::probe::Cluster;
use crate::probe::expect::Attempt;
use crate::probe::socket::Protocol;

/// On which everybody listens, by TCP, UDP and SCTP.
pub const PORTS: [u16; 12] = [1, 53, 79, 80, 81, 82, 100, 200, 201, 8080, 32767, 65535];
/// The node, as pods call it, and somebody outside.
pub const NODE: &str = "10.13.0.1";
pub const OUTSIDE: &str = "192.0.2.2";

/// Where Services' addresses are.
const SERVICES: &str = "10.96.";

/// Peers: pods labelled b of all namespaces, all of namespace z, all pods.
pub const ALL_B: &str = "{ podSelector: { matchLabels: { pod: b } }, namespaceSelector: {} }";
pub const ALL_Z: &str = "{ namespaceSelector: { matchLabels: { ns: z } } }";
pub const ALL_PODS: &str = "{ namespaceSelector: {} }";

/// The pods that most tests need, somebody outside, and the node; all of them serve.
pub struct World {
    pub cluster: Cluster,
    policies: Vec<String>,
}

impl World {
    /// With x/a, about which the policies are, x/b, z/a and z/b.
    pub fn new() -> Self {
        Self::with(["x/a", "x/b", "z/a", "z/b"].map(pod))
    }

    pub fn with(pods: impl IntoIterator<Item = PodSpec>) -> Self {
        let mut cluster = Cluster::new(&[]);
        cluster.ports = PORTS.into();
        let mut world = Self { cluster, policies: Vec::new() };
        pods.into_iter().for_each(|pod| world.run(pod));
        world.cluster.outside(3);
        world.cluster.serve_outside();
        world
    }

    /// Runs a pod. The label of its namespace is `ns=name`.
    pub fn run(&mut self, pod: PodSpec) {
        self.cluster.namespace(&pod.namespace, &json!({ "ns": pod.namespace }));
        self.cluster.start(pod);
    }

    /// From now on these are all policies there are: `namespace/name`, and the spec as YAML.
    pub fn policies(&mut self, policies: &[(&str, &str)]) {
        for (name, spec) in policies {
            println!("{name}: {spec}");
            self.cluster.policy(name, spec);
        }
        let is_old = |name: &String| !policies.iter().any(|(new, _)| new == name);
        self.policies.drain(..).filter(is_old).for_each(|name| self.cluster.delete_policy(&name));
        self.policies.extend(policies.iter().map(|(name, _)| String::from(*name)));
    }

    /// From now on a policy about x/a is the only one.
    pub fn on_a(&mut self, spec: &str) {
        self.policies(&[("x/policy", &about("a", spec))]);
    }

    // #region expect
    /// Asserts each line of a table, whose parts are split by spaces; lists have commas:
    ///
    /// ```text
    /// x/b,z/a > x/a  yes 80/TCP,81/TCP  no 80/UDP,ICMP
    /// ```
    ///
    /// Nothing but these is tried. OTHER is a protocol without ports. The node reaches whatever listens:
    /// so it is known that who is not reached would have answered. Of a Service the table must say
    /// who reaches it.
    #[track_caller]
    pub fn expect(&self, table: &str) {
        let mut expected = BTreeMap::new();
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [sources, ">", targets, verdicts @ ..] = &words[..] else { panic!("{line:?}") };
            for (target, (port, is_allowed)) in
                targets.split(',').flat_map(|target| ports(verdicts).map(move |it| (target, it)))
            {
                for source in sources.split(',') {
                    let attempt = Attempt::new(source, target, port.0, port.1);
                    let before = expected.insert(attempt, is_allowed);
                    assert!(before.is_none_or(|it| it == is_allowed), "{line:?}: said twice");
                }
                if !target.starts_with(SERVICES) {
                    expected.insert(Attempt::new("node", target, port.0, port.1), true);
                }
            }
        }
        for denied in expected.iter().filter(|it| !it.1).map(|it| it.0) {
            let is_same = |it: &Attempt| {
                (&it.to, it.protocol, it.port) == (&denied.to, denied.protocol, denied.port)
            };
            let is_answered = expected.iter().any(|(it, allowed)| *allowed && is_same(it));
            assert!(is_answered, "{denied}: does it answer anybody?");
        }
        self.cluster.verify(&expected);
    }

    /// Asserts what rules about x/a allow, each as its peers and its ports, first for ingress and then for
    /// egress. The lines of the table begin with the other end: `x/b yes 80/TCP no 81/TCP`.
    #[track_caller]
    pub fn each_way(&mut self, rules: &[(&str, &str)], table: &str) {
        for (types, field, peers) in [("Ingress", "ingress", "from"), ("Egress", "egress", "to")] {
            let rule =
                |(who, ports): &(&str, &str)| format!("{{ {peers}: [{who}], ports: {ports} }}");
            let rules: Vec<_> = rules.iter().map(rule).collect();
            self.on_a(&format!("policyTypes: [{types}], {field}: [{}]", rules.join(", ")));
            let line = |line: &str| {
                let (who, verdicts) = line.trim().split_once(' ').unwrap();
                match types {
                    "Ingress" => format!("{who} > x/a {verdicts}\n"),
                    _ => format!("x/a > {who} {verdicts}\n"),
                }
            };
            self.expect(&table.lines().map(line).collect::<String>());
        }
    }
    // #endregion expect

    /// What the agent says that it does not enforce of a policy.
    pub fn told(&self, policy: &str) -> Vec<String> {
        self.cluster.settle();
        let of = format!("policy {policy} ");
        self.cluster.problems().into_iter().filter(|problem| problem.starts_with(&of)).collect()
    }

    /// The number of a pod's identity.
    pub fn identity(&self, pod: &str) -> Value {
        self.cluster.agent(&["endpoint", "get", pod, "-o", "json"])["identity"].clone()
    }
}

/// A pod, `namespace/name`, labelled `pod=name`.
pub fn pod(name: &str) -> PodSpec {
    let (namespace, pod) = name.split_once('/').unwrap();
    PodSpec::new(pod).namespace(namespace).label("pod", pod)
}

/// The same, with a container that has such ports: `http 80/TCP`.
pub fn with_ports(name: &str, ports: &[&str]) -> PodSpec {
    let mut pod = pod(name);
    pod.containers = vec![container(ports)];
    pod
}

pub fn container(ports: &[&str]) -> Value {
    let port = |port: &&str| {
        let (name, port) = port.split_once(' ').unwrap();
        let (number, protocol) = port.split_once('/').unwrap();
        let number: u16 = number.parse().unwrap();
        json!({ "name": name, "containerPort": number, "protocol": protocol })
    };
    json!({ "name": "server", "ports": ports.iter().map(port).collect::<Vec<_>>() })
}

/// A spec about pods of this label.
pub fn about(pod: &str, spec: &str) -> String {
    format!("{{ podSelector: {{ matchLabels: {{ pod: {pod} }} }}, {spec} }}")
}

/// `yes 80/TCP no 81/TCP,ICMP`: each port, and whether it is open.
fn ports<'a>(verdicts: &'a [&'a str]) -> impl Iterator<Item = ((Protocol, u16), bool)> + 'a {
    verdicts.chunks(2).flat_map(|verdict| {
        let [is_allowed @ ("yes" | "no"), ports] = verdict else { panic!("{verdict:?}") };
        ports.split(',').map(|port| (read_port(port), *is_allowed == "yes"))
    })
}

fn read_port(port: &str) -> (Protocol, u16) {
    let Some((number, protocol)) = port.split_once('/') else {
        return match port {
            "ICMP" => (Protocol::Icmp, 0),
            "OTHER" => (Protocol::Other, 0),
            _ => panic!("{port:?}"),
        };
    };
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => panic!("{port:?}"),
    };
    let number = number.parse().unwrap();
    assert!(PORTS.contains(&number), "nobody listens on {port}");
    (protocol, number)
}
