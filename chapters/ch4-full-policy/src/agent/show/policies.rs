//! `bpf policy get`: what `policy_map`, `port_map` and `block_map` hold.

use anyhow::Result;
use serde::Serialize;

use super::endpoints::{find, names};
use super::table::{Output, table};
use crate::agent::reconcile::sets::{PortSets, block_sets};
use crate::maps;

/// What an endpoint may with a peer, by some ports.
#[derive(Serialize)]
struct Row {
    direction: &'static str,
    subject: u32,
    subject_labels: String,
    peer: Option<u32>,
    peer_labels: String,
    ports: String,
    packets: u64,
    bytes: u64,
}

/// `bpf policy get`: one endpoint's, or all.
pub fn policy_map(endpoint: Option<&str>, output: Output) -> Result<()> {
    let only = endpoint.map(find).transpose()?.map(|endpoint| endpoint.identity);
    let names = names()?;
    let epoch = maps::epoch()?;
    let ports = PortSets::read(&maps::port_map()?)?;
    let blocks = block_sets(&maps::block_map()?, &ports)?;
    let name = |id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
    let mut rows = Vec::new();
    for entry in maps::policy_map()?.iter() {
        let (key, entry) = entry?;
        let (subject, peer) = key.ends();
        let Some(policy) = entry.versions.at(epoch) else { continue };
        if only.is_some_and(|only| only != subject) {
            continue;
        }
        let mut row = |peer, peer_labels: String, ports: String| {
            rows.push(Row {
                direction: key.direction().as_str(),
                subject,
                subject_labels: name(subject),
                peer,
                peer_labels,
                ports,
                packets: entry.packets,
                bytes: entry.bytes,
            });
        };
        let its = |set| ports.get(set).map_or_else(|| "?".into(), |ports| ports.to_string());
        if policy.ports != maps::NO_PORTS {
            row(Some(peer), if peer == 0 { "any".into() } else { name(peer) }, its(policy.ports));
        }
        for (net, ports) in blocks.get(&policy.blocks).into_iter().flatten().flatten() {
            let ports = if ports.is_empty() { "none".into() } else { ports.to_string() };
            row(None, format!("cidr:{net}"), ports);
        }
    }
    rows.sort_by_key(|it| (it.subject, it.direction == "Egress", it.peer.is_none(), it.peer));
    let titles = [
        "POLICY",
        "DIRECTION",
        "ENDPOINT",
        "LABELS",
        "PEER",
        "LABELS",
        "PORT/PROTO",
        "PACKETS",
        "BYTES",
    ];
    table(output, &rows, &titles, |row| {
        // An `except` lets nothing through by its address; who is in it may come by another row.
        let is_exception = row.ports == "none";
        let count = |count: u64| if is_exception { "-".into() } else { count.to_string() };
        vec![
            if is_exception { "Except".into() } else { "Allow".into() },
            row.direction.into(),
            row.subject.to_string(),
            row.subject_labels.clone(),
            row.peer.map_or_else(|| "-".into(), |peer| peer.to_string()),
            row.peer_labels.clone(),
            row.ports.clone(),
            count(row.packets),
            count(row.bytes),
        ]
    })
}
