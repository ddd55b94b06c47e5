//! Changes by which one pod reaches another, or does not any more; and how soon.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{Kind, Node, Pod, PodSpec, warn};
use serde_json::{Value, json};

use crate::cluster::policy;
use crate::come_and_go;
use crate::echo;
use crate::probe::Probe;
use crate::times::Lag;

/// The policy on the server that says who may come.
const POLICY: &str = "networkpolicy_db_friends.yaml";

/// Who asks.
pub fn client() -> PodSpec {
    PodSpec::new("client").namespace("web").label("app", "client")
}

/// Who is asked.
pub fn server() -> PodSpec {
    PodSpec::new("server").namespace("db").label("app", "server")
}

/// What one file says while the client gets in, and while it does not; nothing: it is not there.
struct Change {
    granted: &'static str,
    revoked: &'static str,
    file: String,
    allowing: Option<Value>,
    denying: Option<Value>,
    /// A policy that is there all the while.
    policy: Option<Value>,
}

/// Makes each change that a chapter knows, and its opposite, so many times.
pub fn run(
    node: &Node,
    chapter: &str,
    client: &Pod,
    server: &Pod,
    rounds: usize,
) -> Result<Vec<Lag>> {
    let mut probe = Probe::new(node, chapter, client, server)?;
    probe.settle(true)?;
    let mut lags = Vec::new();
    let mut changes = changes(node)?;
    if chapter == "ch4" {
        changes.extend(full(echo::place(client)?.1, probe.port));
    }
    for change in changes {
        warn(format_args!("{} …", change.granted));
        if change.policy.is_some() {
            write(node, POLICY, change.policy.as_ref())?;
        }
        write(node, &change.file, change.denying.as_ref())?;
        probe.settle(false)?;
        let (mut granted, mut revoked) = (Lag::new(change.granted)?, Lag::new(change.revoked)?);
        for round in 0..rounds {
            for (allowed, lag) in [(true, &mut granted), (false, &mut revoked)] {
                // Not in step with anything that the agent does by the clock.
                std::thread::sleep(Duration::from_millis(round as u64 * 7 % 19));
                let object = if allowed { &change.allowing } else { &change.denying };
                let switched =
                    probe.watch(allowed, || write(node, &change.file, object.as_ref()))?;
                lag.packet.record(switched.packet)?;
                lag.map.record(switched.map)?;
            }
        }
        for file in [POLICY, &change.file] {
            if file.starts_with("networkpolicy") {
                write(node, file, None)?;
            }
        }
        probe.settle(true)?;
        lags.extend([granted, revoked]);
    }
    lags.extend(come_and_go::elsewhere(node, rounds)?);
    lags.extend(come_and_go::here(node, rounds)?);
    Ok(lags)
}

fn write(node: &Node, file: &str, object: Option<&Value>) -> Result<()> {
    match object {
        Some(object) => crate::cluster::write(node, file, object),
        None => node.remove_manifest(file),
    }
}

/// A policy on the server with this rule.
fn lets_in_by(rule: Value) -> Value {
    let subject = json!({ "matchLabels": { "app": "server" } });
    policy("db", "friends", json!({ "podSelector": subject, "ingress": [rule] }))
}

/// Changes that chapter 4 knows: ports, blocks, and egress.
fn full(client: Ipv4Addr, port: u16) -> Vec<Change> {
    let web = json!([{ "namespaceSelector": { "matchLabels": { "app": "web" } } }]);
    let dns = json!({ "protocol": "UDP", "port": 53 });
    let (port, other) = (json!({ "protocol": "UDP", "port": port }), "192.0.2.0/24");
    let by_ports = |ports: Value| lets_in_by(json!({ "ports": ports }));
    let by_blocks = |cidrs: &[&str]| {
        let blocks: Vec<_> = cidrs.iter().map(|it| json!({ "ipBlock": { "cidr": it } })).collect();
        lets_in_by(json!({ "from": blocks, "ports": [port] }))
    };
    let goes = |egress: Value| {
        let subject = json!({ "matchLabels": { "app": "client" } });
        let types = json!(["Egress"]);
        policy(
            "web",
            "ways",
            json!({ "podSelector": subject, "policyTypes": types, "egress": egress }),
        )
    };
    let db = json!([{ "namespaceSelector": {
        "matchLabels": { "kubernetes.io/metadata.name": "db" }
    } }]);
    let (to_web, to_db) =
        (json!({ "to": web, "ports": [dns] }), json!({ "to": db, "ports": [port] }));
    let client = format!("{client}/32");
    vec![
        Change {
            granted: "a rule gets a port",
            revoked: "a rule loses a port",
            file: POLICY.into(),
            allowing: Some(by_ports(json!([dns, port]))),
            denying: Some(by_ports(json!([dns]))),
            policy: None,
        },
        Change {
            granted: "a rule gets a block",
            revoked: "a rule loses a block",
            file: POLICY.into(),
            allowing: Some(by_blocks(&[other, &client])),
            denying: Some(by_blocks(&[other])),
            policy: None,
        },
        Change {
            granted: "a pod is not isolated for egress any more",
            revoked: "a pod is isolated for egress",
            file: "networkpolicy_web_ways.yaml".into(),
            allowing: None,
            denying: Some(goes(json!([to_web]))),
            policy: None,
        },
        Change {
            granted: "egress gets one more rule",
            revoked: "egress loses a rule",
            file: "networkpolicy_web_ways.yaml".into(),
            allowing: Some(goes(json!([to_web, to_db]))),
            denying: Some(goes(json!([to_web]))),
            policy: None,
        },
    ]
}

fn changes(node: &Node) -> Result<Vec<Change>> {
    let lets_in = |whom: Value| lets_in_by(json!({ "from": whom }));
    let nobody = json!({ "podSelector": { "matchLabels": { "app": "nobody" } } });
    let web =
        json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "web" } } });
    let friends = json!({ "matchLabels": { "friend": "yes" } });
    let labelled = |kind, namespace: &str, name: &str| {
        let object = node.object(kind, namespace, name)?.context("the object is missing")?;
        let mut friend = object.clone();
        friend["metadata"]["labels"]["friend"] = "yes".into();
        Ok::<_, anyhow::Error>((Some(friend), Some(object)))
    };
    let (pod_allowing, pod_denying) = labelled(Kind::Pod, "web", "client")?;
    let (namespace_allowing, namespace_denying) = labelled(Kind::Namespace, "", "web")?;
    Ok(vec![
        Change {
            granted: "a pod's only policy goes",
            revoked: "a pod's first policy comes",
            file: POLICY.into(),
            allowing: None,
            denying: Some(lets_in(json!([nobody]))),
            policy: None,
        },
        Change {
            granted: "a policy gets one more rule",
            revoked: "a policy loses a rule",
            file: POLICY.into(),
            allowing: Some(lets_in(json!([nobody, web]))),
            denying: Some(lets_in(json!([nobody]))),
            policy: None,
        },
        Change {
            granted: "a pod gets a label",
            revoked: "a pod loses a label",
            file: "pod_web_client.yaml".into(),
            allowing: pod_allowing,
            denying: pod_denying,
            policy: Some(lets_in(json!([{ "namespaceSelector": {}, "podSelector": friends }]))),
        },
        Change {
            granted: "a namespace gets a label",
            revoked: "a namespace loses a label",
            file: "namespace_web.yaml".into(),
            allowing: namespace_allowing,
            denying: namespace_denying,
            policy: Some(lets_in(json!([{ "namespaceSelector": friends }]))),
        },
    ])
}
