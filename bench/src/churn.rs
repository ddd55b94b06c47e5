//! Changes by which one pod reaches another, or does not any more; and how soon.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{Kind, Node, Pod, PodSpec, warn};
use serde_json::{Value, json};

use crate::cluster::policy;
use crate::come_and_go;
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

/// Makes each change, and its opposite, so many times.
pub fn run(node: &Node, client: &Pod, server: &Pod, rounds: usize) -> Result<Vec<Lag>> {
    let mut probe = Probe::new(node, client, server)?;
    probe.settle(true)?;
    let mut lags = Vec::new();
    for change in changes(node)? {
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
        write(node, POLICY, None)?;
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

fn changes(node: &Node) -> Result<Vec<Change>> {
    let lets_in = |whom: Value| {
        let subject = json!({ "matchLabels": { "app": "server" } });
        policy("db", "friends", json!({ "podSelector": subject, "ingress": [{ "from": whom }] }))
    };
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
