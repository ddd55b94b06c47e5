//! Endpoints and identities, as the agent knows them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::table::{Output, json, say, table};
use crate::agent::owners::identity;
use crate::api::{EndpointStatus, IdentityStatus, SecurityLabels};
use crate::client;

/// `endpoint list`.
pub fn endpoints(output: Output) -> Result<()> {
    let endpoints: Vec<EndpointStatus> = client::get("/v1/endpoint")?;
    let isolated = |policies: &[String]| if policies.is_empty() { "No" } else { "Yes" }.to_string();
    let titles =
        ["ENDPOINT", "POD", "INGRESS ISOLATED", "EGRESS ISOLATED", "IDENTITY", "IPV4", "LABELS"];
    table(output, &endpoints, &titles, |status| {
        vec![
            status.id.to_string(),
            pod_of(status),
            isolated(&status.ingress),
            isolated(&status.egress),
            status.identity.to_string(),
            status.new.address.to_string(),
            labels_of(&status.labels),
        ]
    })?;
    if !output.is_json() {
        endpoints.iter().filter_map(|status| status.fault.as_ref()).try_for_each(say)?;
    }
    Ok(())
}

/// `endpoint get`: with the policies that isolate it, and what each of their rules lets in.
pub fn endpoint(which: &str, output: Output) -> Result<()> {
    let endpoint = find(which)?;
    if output.is_json() {
        return json(&endpoint);
    }
    let (pod, address) = (pod_of(&endpoint), endpoint.new.address);
    say(format_args!("Endpoint {}: {pod}, {address}, veth {}", endpoint.id, endpoint.link))?;
    say(format_args!("Identity {}: {}", endpoint.identity, labels_of(&endpoint.labels)))?;
    for (direction, policies) in [("Ingress", &endpoint.ingress), ("Egress", &endpoint.egress)] {
        match policies.as_slice() {
            [] => say(format_args!("{direction}: not isolated"))?,
            some => say(format_args!("{direction}: isolated by {}", some.join(", ")))?,
        }
    }
    if let Some(fault) = &endpoint.fault {
        say(fault)?;
    }
    for rule in &endpoint.rules {
        let ids: Vec<_> = rule.identities.iter().map(u32::to_string).collect();
        let ids = match ids.as_slice() {
            [] if rule.is_selector => " (nobody now)".into(),
            [] => String::new(),
            some => format!(" ({})", some.join(", ")),
        };
        say(format_args!("  {} {}: {}{ids} by {}", rule.policy, rule.at, rule.peers, rule.ports))?;
    }
    Ok(())
}

/// `identity list`.
pub fn identities(output: Output) -> Result<()> {
    let identities: Vec<IdentityStatus> = client::get("/v1/identity")?;
    table(output, &identities, &["ID", "NAMESPACE", "LABELS", "IN USE"], |status| {
        let in_use = if status.in_use { "Yes" } else { "No" };
        vec![
            status.id.to_string(),
            status.labels.namespace.clone(),
            labels_of(&status.labels),
            in_use.into(),
        ]
    })
}

/// Labels by identity; without an agent only the reserved ones.
pub fn names() -> Result<BTreeMap<u32, String>> {
    let identities: Vec<IdentityStatus> = client::get("/v1/identity").unwrap_or_default();
    let mut names: BTreeMap<_, _> =
        identities.iter().map(|status| (status.id, labels_of(&status.labels))).collect();
    for id in [identity::HOST, identity::WORLD] {
        names.extend(identity::name(id).map(|name| (id, name.to_string())));
    }
    Ok(names)
}

/// An endpoint by its id, pod or address.
pub fn find(which: &str) -> Result<EndpointStatus> {
    let endpoints: Vec<EndpointStatus> = client::get("/v1/endpoint")?;
    let is_it = |status: &EndpointStatus| {
        let name = status.new.pod.as_ref().map(|pod| pod.name.as_str());
        status.id.to_string() == which
            || status.new.address.to_string() == which
            || pod_of(status) == which
            || name == Some(which)
    };
    let mut found = endpoints.into_iter().filter(is_it);
    let first = found.next().with_context(|| {
        format!("there is no endpoint {which:?} on this node: see `ebpf-agent endpoint list`")
    })?;
    match found.next() {
        None => Ok(first),
        Some(second) => bail!(
            "{which:?} may be {} or {}: say the namespace too",
            pod_of(&first),
            pod_of(&second)
        ),
    }
}

fn pod_of(endpoint: &EndpointStatus) -> String {
    match &endpoint.new.pod {
        Some(pod) => format!("{}/{}", pod.namespace, pod.name),
        None => "-".into(),
    }
}

fn labels_of(labels: &SecurityLabels) -> String {
    let pairs: Vec<_> = labels.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
