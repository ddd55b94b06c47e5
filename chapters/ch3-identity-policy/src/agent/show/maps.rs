//! What the kernel's maps hold.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::endpoints::{find, names};
use super::table::{Output, table};
use crate::maps;
use crate::maps::ct::{self, Tables};

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
    let epoch = maps::epoch()?;
    let mut entries = Vec::new();
    for entry in maps::endpoint_map()?.iter() {
        let (key, entry) = entry?;
        let Some(endpoint) = entry.at(epoch) else { continue };
        entries.push(EndpointEntry {
            address: maps::address(key),
            identity: endpoint.identity,
            ifindex: endpoint.ifindex,
            generation: endpoint.generation,
            egress_isolated: endpoint.flags & maps::EGRESS_ISOLATED != 0,
            mac: crate::netlink::mac(&endpoint.mac),
        });
    }
    entries.sort_by_key(|row| row.address);
    table(output, &entries, &["IPV4", "IDENTITY", "IFINDEX", "MAC", "EGRESS ISOLATED"], |row| {
        let isolated = if row.egress_isolated { "Yes" } else { "No" };
        vec![
            row.address.to_string(),
            row.identity.to_string(),
            row.ifindex.to_string(),
            row.mac.clone(),
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
    let epoch = maps::epoch()?;
    let mut rows = Vec::new();
    for entry in maps::policy_map()?.iter() {
        let (key, entry) = entry?;
        if !entry.is_at(epoch) || only.is_some_and(|only| only != key.dst_id) {
            continue;
        }
        let name = |id: u32| names.get(&id).cloned().unwrap_or_else(|| id.to_string());
        rows.push(PolicyRow {
            source: key.src_id,
            source_labels: if key.src_id == 0 { "any".into() } else { name(key.src_id) },
            destination: key.dst_id,
            destination_labels: name(key.dst_id),
            packets: entry.packets,
            bytes: entry.bytes,
        });
    }
    rows.sort_by_key(|row| (row.destination, row.source));
    let titles = ["POLICY", "SOURCE", "LABELS", "DESTINATION", "LABELS", "PACKETS", "BYTES"];
    table(output, &rows, &titles, |row| {
        vec![
            "Allow".into(),
            row.source.to_string(),
            row.source_labels.clone(),
            row.destination.to_string(),
            row.destination_labels.clone(),
            row.packets.to_string(),
            row.bytes.to_string(),
        ]
    })
}

/// A connection.
#[derive(Serialize)]
struct Connection {
    protocol: u32,
    source: Ipv4Addr,
    source_port: u16,
    destination: Ipv4Addr,
    destination_port: u16,
    source_identity: u32,
    established: bool,
    closed: bool,
    expires_in: u64,
}

/// `bpf ct list`: what has not expired.
pub fn conntrack(output: Output) -> Result<()> {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    let mut connections = Vec::new();
    for table in Tables::open()?.all()? {
        for entry in table.iter() {
            let (key, entry) = entry?;
            let Some(left) = Duration::from_nanos(entry.expires).checked_sub(now) else { continue };
            connections.push(Connection {
                protocol: key.proto,
                source: maps::address(key.saddr),
                source_port: u16::from_be(key.sport),
                destination: maps::address(key.daddr),
                destination_port: u16::from_be(key.dport),
                source_identity: entry.src_id,
                established: entry.flags & ct::ANSWERED != 0,
                closed: entry.flags & ct::CLOSED == ct::CLOSED,
                expires_in: left.as_secs(),
            });
        }
    }
    connections.sort_by_key(|row| (row.source, row.source_port, row.destination));
    let titles = ["PROTO", "SOURCE", "DESTINATION", "IDENTITY", "STATE", "EXPIRES"];
    table(output, &connections, &titles, |row| {
        let state = match (row.closed, row.established) {
            (true, _) => "closed",
            (false, true) => "established",
            (false, false) => "new",
        };
        vec![
            row.protocol.to_string(),
            format!("{}:{}", row.source, row.source_port),
            format!("{}:{}", row.destination, row.destination_port),
            row.source_identity.to_string(),
            state.into(),
            format!("{}s", row.expires_in),
        ]
    })
}
