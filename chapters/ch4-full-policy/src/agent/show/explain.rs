//! `explain`: what policies and maps say of a connection.

use anyhow::{Context as _, Result};

use super::table::{Output, json, say};
use crate::agent::owners::identity::WORLD;
use crate::agent::policy::ports::protocol;
use crate::agent::serve::explain::Wish;
use crate::agent::serve::server::Explained;
use crate::client;

/// Says in a few lines why one may, or may not, connect to another. The destination may have a port
/// and a protocol: `backend:80`, `coredns:53/UDP`, `backend/ICMP`.
pub fn explain(source: &str, destination: &str, output: Output) -> Result<()> {
    let (destination, wish) = read_wish(destination)?;
    let mut path = format!("/v1/explain?from={}&to={}", plain(source), plain(destination));
    if let Some(Wish { protocol, port }) = wish {
        path.push_str(&format!("&protocol={protocol}"));
        port.iter().for_each(|port| path.push_str(&format!("&port={port}")));
    }
    let explained: Explained = client::get(&path)?;
    if output.is_json() {
        return json(&explained);
    }
    let Explained { source, destination, explanation, live, faults } = explained;
    say(format_args!(
        "{} (identity {}) → {} (identity {}): {}",
        source.name,
        source.identity,
        destination.name,
        destination.identity,
        verdict(live.allowed, live.ports.as_deref())
    ))?;
    let said = verdict(explanation.allowed, explanation.ports.as_deref());
    say(format_args!("  policies: {said}: {}", explanation.why))?;
    for policy in &explanation.isolated_by {
        say(format_args!("    isolated by {policy}"))?;
    }
    for rule in &explanation.allowed_by {
        say(format_args!("    allowed by {rule}"))?;
    }
    if let Some(miss) = &explanation.nearest_miss {
        say(format_args!("    nearest miss: {miss}"))?;
    }
    for entry in &live.entries {
        let end = |id: u32| if id == 0 { "any".to_string() } else { id.to_string() };
        let by = if entry.by_block { ", by its blocks" } else { "" };
        say(format_args!(
            "  maps: {} allowed by the entry ({}, {}){by}",
            entry.direction.to_lowercase(),
            end(entry.source),
            end(entry.destination)
        ))?;
    }
    if live.entries.is_empty() {
        say(format_args!("  maps: {}, no entry decides", verdict(live.allowed, None)))?;
    }
    if !live.allowed && destination.identity == WORLD && destination.address.is_some() {
        say(
            "  a Service's address? What counts is the pod behind it, and its port: ask for these",
        )?;
    }
    if live.allowed != explanation.allowed || live.ports != explanation.ports {
        say("  They disagree: the maps have not caught up, or are full; see `ebpf-agent status`")?;
    }
    faults.iter().try_for_each(|fault| say(format_args!("  But {fault}")))
}

fn verdict(allowed: bool, ports: Option<&str>) -> String {
    match (allowed, ports) {
        (false, _) => "denied".into(),
        (true, None) => "allowed".into(),
        (true, Some(ports)) => format!("allowed by {ports}"),
    }
}

/// The destination's name, and protocol and port if they are there.
fn read_wish(text: &str) -> Result<(&str, Option<Wish>)> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port),
        None if text.ends_with("/ICMP") => {
            let icmp = Wish { protocol: 1, port: None };
            return Ok((text.trim_end_matches("/ICMP"), Some(icmp)));
        }
        None => return Ok((text, None)),
    };
    let (number, name_of) = port.split_once('/').unwrap_or((port, "TCP"));
    let number = number.parse().ok().filter(|port| *port > 0);
    let number = number.with_context(|| format!("{port:?} is no port: 80, 53/UDP"))?;
    let protocol = protocol(&name_of.to_uppercase());
    let protocol = protocol
        .with_context(|| format!("{name_of:?} is no protocol with ports: TCP, UDP, SCTP"))?;
    Ok((name, Some(Wish { protocol, port: Some(number) })))
}

/// What a name may consist of goes into a URL as it is; all else no pod is called.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-./_".contains(*c)).collect()
}
