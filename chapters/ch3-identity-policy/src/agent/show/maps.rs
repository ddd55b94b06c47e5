//! What the kernel's maps hold.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde::Serialize;

use super::endpoints::{find, names};
use super::table::{Output, table};
use crate::maps;

/// An entry of `endpoint_map`.
#[derive(Serialize)]
struct EndpointEntry {
    address: Ipv4Addr,
    identity: u32,
    ifindex: u32,
    generation: u32,
    egress_isolated: bool,
    mac: String,
}

/// `bpf endpoint list`.
pub fn endpoint_map(output: Output) -> Result<()> {
    let mut entries = Vec::new();
    for entry in maps::endpoint_map()?.iter() {
        let (key, it) = entry?;
        entries.push(EndpointEntry {
            address: maps::address(key),
            identity: it.identity,
            ifindex: it.ifindex,
            generation: it.generation,
            egress_isolated: it.flags & maps::EGRESS_ISOLATED != 0,
            mac: crate::netlink::mac(&it.mac),
        });
    }
    entries.sort_by_key(|it| it.address);
    table(output, &entries, &["IPV4", "IDENTITY", "IFINDEX", "MAC", "EGRESS ISOLATED"], |it| {
        let isolated = if it.egress_isolated { "Yes" } else { "No" };
        vec![
            it.address.to_string(),
            it.identity.to_string(),
            it.ifindex.to_string(),
            it.mac.clone(),
            isolated.into(),
        ]
    })
}

/// An entry of `policy_map`.
#[derive(Serialize)]
struct PolicyRow {
    source: u32,
    source_labels: String,
    destination: u32,
    destination_labels: String,
    packets: u64,
    bytes: u64,
}

/// `bpf policy get`.
pub fn policy_map(endpoint: Option<&str>, output: Output) -> Result<()> {
    let only = endpoint.map(find).transpose()?.map(|endpoint| endpoint.identity);
    let names = names()?;
    let mut rows = Vec::new();
    for entry in maps::policy_map()?.iter() {
        let (key, it) = entry?;
        if only.is_some_and(|only| only != key.dst_id) {
            continue;
        }
        let name = |id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        rows.push(PolicyRow {
            source: key.src_id,
            source_labels: if key.src_id == 0 { "any".into() } else { name(key.src_id) },
            destination: key.dst_id,
            destination_labels: name(key.dst_id),
            packets: it.packets,
            bytes: it.bytes,
        });
    }
    rows.sort_by_key(|it| (it.destination, it.source));
    let titles = ["POLICY", "SOURCE", "LABELS", "DESTINATION", "LABELS", "PACKETS", "BYTES"];
    table(output, &rows, &titles, |it| {
        vec![
            "Allow".into(),
            it.source.to_string(),
            it.source_labels.clone(),
            it.destination.to_string(),
            it.destination_labels.clone(),
            it.packets.to_string(),
            it.bytes.to_string(),
        ]
    })
}
