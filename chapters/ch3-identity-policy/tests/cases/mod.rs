//! Reads the vectors: cases of several steps, each of which says who reaches whom then.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use crate::oracle::{Host, Labels, World, list};
use crate::probe::PORTS;
use crate::probe::expect::Attempt;
use crate::probe::socket::Protocol;

/// One case, from its first world on.
#[derive(Debug)]
pub struct Case {
    pub title: String,
    pub start: World,
    pub steps: Vec<Step>,
}

/// What is done, and what is so then.
#[derive(Debug)]
pub struct Step {
    pub actions: Vec<Value>,
    /// The namespaces' and the pods' labels then, if the case says them.
    pub after: Option<World>,
    /// Who reaches whom, as far as the case says it.
    pub expected: BTreeMap<Attempt, bool>,
}

/// Where the vectors are; a relative path begins at the repository's root. Without them the test
/// is skipped, and says so past libtest, which shows nothing of a test that passes.
pub fn directory(test: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Some(directory) = std::env::var_os("NETPOL_VECTORS") {
        return Some(root.join(directory));
    }
    let message = format!("skipped: {test}: NETPOL_VECTORS is not set\n");
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{message}");
    std::io::stderr().write_all(message.as_bytes()).unwrap();
    None
}

/// Those of Kubernetes' end-to-end tests.
pub fn end_to_end(directory: &Path) -> Vec<Case> {
    let file: Value =
        serde_json::from_slice(&fs::read(directory.join("e2e-netpol-cases.json")).unwrap())
            .unwrap();
    let namespaces = serde_json::from_value(file["namespace_labels"].clone()).unwrap();
    let mut start = World { namespaces, ..World::default() };
    for (name, address) in file["ips"].as_object().unwrap() {
        let label = name.rsplit('/').next().unwrap();
        start.pods.insert(name.clone(), Labels::from([("pod".into(), label.into())]));
        start.hosts.insert(name.clone(), host(address));
    }
    let step = |step: &Value, pods: &[&str]| {
        let mut expected = BTreeMap::new();
        for check in list(&step["checks"]) {
            let (protocol, port) = (text(&check["protocol"]), check["port"].as_u64().unwrap());
            expected.extend(table(pods, protocol, port, &check["denied"]));
        }
        Step { actions: list(&step["actions"]).to_vec(), after: None, expected }
    };
    let case = |case: &Value| {
        let pods: Vec<_> = list(&case["pods"]).iter().map(text).collect();
        Case {
            title: format!("{}: {}", text(&case["context"]), text(&case["title"])),
            start: start.clone(),
            steps: list(&case["steps"]).iter().map(|it| step(it, &pods)).collect(),
        }
    };
    list(&file["cases"]).iter().map(case).collect()
}

/// Those of cyclonus.
pub fn cyclonus(directory: &Path) -> Vec<Case> {
    let file = directory.join("cyclonus-cases.json.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(&file).output().unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    let file: Value = serde_json::from_slice(&unpacked.stdout).unwrap();
    let case = |case: &Value| {
        let steps: Vec<_> = list(&case["steps"]).iter().map(cyclonus_step).collect();
        // The first step of every case adds policies only.
        let mut start = steps[0].after.clone().unwrap();
        start.hosts.extend(steps.iter().flat_map(|step| step.after.clone().unwrap().hosts));
        Case { title: format!("{}: {}", case["n"], text(&case["description"])), start, steps }
    };
    list(&file["cases"]).iter().map(case).collect()
}

fn cyclonus_step(step: &Value) -> Step {
    let mut after = World::default();
    for (name, labels) in step["namespaces"].as_object().unwrap() {
        after.namespaces.insert(name.clone(), labels_of(labels));
    }
    for pod in list(&step["pods"]) {
        let name = format!("{}/{}", text(&pod["namespace"]), text(&pod["name"]));
        after.hosts.insert(name.clone(), host(&pod["ip"]));
        after.pods.insert(name, labels_of(&pod["labels"]));
    }
    let pods: Vec<_> = after.pods.keys().map(String::as_str).collect();
    let mut expected = BTreeMap::new();
    for (probe, allowed) in step["allowed_count"].as_object().unwrap() {
        let (protocol, port) = probe.split_once('/').unwrap();
        let its = table(&pods, protocol, port.parse().unwrap(), &step["denied"][probe]);
        assert_eq!(its.values().filter(|it| **it).count() as u64, allowed.as_u64().unwrap());
        expected.extend(its);
    }
    Step { actions: list(&step["actions"]).to_vec(), after: Some(after), expected }
}

/// A pod of the cases: it has names for all ports that it serves.
fn host(address: &Value) -> Host {
    let each = PORTS.into_iter().flat_map(|port| ["TCP", "UDP", "SCTP"].map(|it| (port, it)));
    let named = |(port, protocol): (u16, &'static str)| {
        (format!("serve-{port}-{}", protocol.to_lowercase()), protocol, port)
    };
    Host { address: text(address).parse().unwrap(), ports: each.map(named).collect() }
}

/// All pairs by one protocol and port, from the list of those that are denied.
fn table(pods: &[&str], protocol: &str, port: u64, denied: &Value) -> BTreeMap<Attempt, bool> {
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        other => panic!("{other}"),
    };
    let denied: Vec<_> = list(denied).iter().map(text).collect();
    let pairs = pods.iter().flat_map(|from| pods.iter().map(move |to| (*from, *to)));
    let verdict = |(from, to): (&str, &str)| {
        let is_denied = denied.contains(&format!("{from}>{to}").as_str());
        (Attempt::new(from, to, protocol, port as u16), !is_denied)
    };
    pairs.map(verdict).collect()
}

/// Does an action, of which cyclonus writes the parameters with a capital.
pub fn act(world: &mut World, action: &Value) {
    let (what, parameters) = action.as_object().unwrap().iter().next().unwrap();
    let parameters = parameters.as_object().unwrap().iter();
    let it: Map<_, _> =
        parameters.map(|(key, value)| (key.to_lowercase(), value.clone())).collect();
    let named = |key: &str| format!("{}/{}", text(&it["namespace"]), text(&it[key]));
    match what.as_str() {
        "createPolicy" | "updatePolicy" => {
            let metadata = &it["metadata"];
            let name = format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
            let before = world.policies.insert(name, it["spec"].clone());
            assert_eq!(before.is_some(), what == "updatePolicy", "{action}");
        }
        "deletePolicy" => drop(world.policies.remove(&named("name")).unwrap()),
        "createPod" | "setPodLabels" => {
            world.pods.insert(named("pod"), labels_of(&it["labels"]));
        }
        "deletePod" => drop(world.pods.remove(&named("pod")).unwrap()),
        "createNamespace" | "setNamespaceLabels" => {
            world.namespaces.insert(text(&it["namespace"]).into(), labels_of(&it["labels"]));
        }
        "deleteNamespace" => {
            let its = format!("{}/", text(&it["namespace"]));
            world.namespaces.remove(text(&it["namespace"])).unwrap();
            world.pods.retain(|name, _| !name.starts_with(&its));
            world.policies.retain(|name, _| !name.starts_with(&its));
        }
        other => panic!("{other}"),
    }
}

/// Without the one that every namespace has anyway: some cases name it, some do not.
fn labels_of(labels: &Value) -> Labels {
    let mut labels: Labels = serde_json::from_value(labels.clone()).unwrap();
    labels.remove("kubernetes.io/metadata.name");
    labels
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
