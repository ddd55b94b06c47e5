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
        let Some(it) = entry.at(epoch) else { continue };
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
    let epoch = maps::epoch()?;
    let mut rows = Vec::new();
    for entry in maps::policy_map()?.iter() {
        let (key, it) = entry?;
        if !it.is_at(epoch) || only.is_some_and(|only| only != key.dst_id) {
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
            let (key, it) = entry?;
            let Some(left) = Duration::from_nanos(it.expires).checked_sub(now) else { continue };
            connections.push(Connection {
                protocol: key.proto,
                source: maps::address(key.saddr),
                source_port: u16::from_be(key.sport),
                destination: maps::address(key.daddr),
                destination_port: u16::from_be(key.dport),
                source_identity: it.src_id,
                established: it.flags & ct::ANSWERED != 0,
                closed: it.flags & ct::CLOSED == ct::CLOSED,
                expires_in: left.as_secs(),
            });
        }
    }
    connections.sort_by_key(|it| (it.source, it.source_port, it.destination));
    let titles = ["PROTO", "SOURCE", "DESTINATION", "IDENTITY", "STATE", "EXPIRES"];
    table(output, &connections, &titles, |it| {
        let state = match (it.closed, it.established) {
            (true, _) => "closed",
            (false, true) => "established",
            (false, false) => "new",
        };
        vec![
            it.protocol.to_string(),
            format!("{}:{}", it.source, it.source_port),
            format!("{}:{}", it.destination, it.destination_port),
            it.source_identity.to_string(),
            state.into(),
            format!("{}s", it.expires_in),
        ]
    })
}
