//! What the kernel's maps hold.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

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
        let Some(endpoint) = entry.versions.at(epoch) else { continue };
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

/// A connection.
#[derive(Serialize)]
struct Connection {
    protocol: u32,
    source: Ipv4Addr,
    source_port: u16,
    destination: Ipv4Addr,
    destination_port: u16,
    source_identity: Option<u32>,
    behind: Option<(Ipv4Addr, u16)>,
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
            let is_translated = entry.flags & ct::TRANSLATED != 0;
            connections.push(Connection {
                protocol: key.proto,
                source: maps::address(key.saddr),
                source_port: u16::from_be(key.sport),
                destination: maps::address(key.daddr),
                destination_port: u16::from_be(key.dport),
                source_identity: (!is_translated).then_some(entry.src_id),
                behind: is_translated
                    .then(|| (maps::address(entry.src_id), u16::from_be(entry.target_port))),
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
            format!("{}:{}{}", row.destination, row.destination_port, behind(row)),
            row.source_identity.map_or_else(|| "-".into(), |id| id.to_string()),
            state.into(),
            format!("{}s", row.expires_in),
        ]
    })
}

/// Where a Service has led.
fn behind(connection: &Connection) -> String {
    connection.behind.map_or_else(String::new, |(address, port)| format!(" → {address}:{port}"))
}
