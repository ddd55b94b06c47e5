//! `explain`: what policies and maps say of a connection.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::table::{Output, json, say};
use crate::agent::objects::services::Translation;
use crate::agent::owners::identity::WORLD;
use crate::agent::policy::ports::{Range, protocol};
use crate::agent::serve::explain::{FlowEnd, Wish};
use crate::agent::serve::server::Explained;
use crate::client;

/// Says in a few lines why one may, or may not, connect to another. The destination may have a port
/// and a protocol: `backend:80`, `coredns:53/UDP`, `backend/ICMP`. Of a Service's address it says so
/// for each backend.
pub fn explain(source: &str, destination: &str, output: Output) -> Result<()> {
    let explained = ask(source, destination)?;
    let (name, wish) = read_wish(destination)?;
    let no_pods = explained.destination.address.filter(|_| explained.destination.identity == WORLD);
    match no_pods.map(|address| ask_backends(source, address, wish)) {
        Some(Ok(services)) if output.is_json() => json(&services),
        _ if output.is_json() => json(&explained),
        Some(Ok(services)) => {
            let mut each = services.iter();
            each.try_for_each(|service| print_backends(&explained.source, name, service))
        }
        Some(Err(why_not)) => {
            print(&explained, "")?;
            say(format_args!("  {why_not:#}"))
        }
        None => print(&explained, ""),
    }
}

/// What the agent says of one connection.
fn ask(source: &str, destination: &str) -> Result<Explained> {
    let (destination, wish) = read_wish(destination)?;
    let mut path = format!("/v1/explain?from={}&to={}", plain(source), plain(destination));
    if let Some(Wish { protocol, port }) = wish {
        path.push_str(&format!("&protocol={protocol}"));
        port.iter().for_each(|port| path.push_str(&format!("&port={port}")));
    }
    client::get(&path)
}

/// A Service's port, and what the agent says of each backend.
#[derive(Debug, Serialize)]
struct Backends {
    service: String,
    port: String,
    backends: BTreeMap<String, Explained>,
}

/// Follows an address to what is behind it, by the port that is asked for, or by each. An error says
/// why it leads nowhere.
fn ask_backends(source: &str, address: Ipv4Addr, wish: Option<Wish>) -> Result<Vec<Backends>> {
    let all: Result<Vec<Translation>> = client::get(&format!("/v1/service/{address}"));
    let mut found =
        all.with_context(|| format!("whether {address} is a Service's is not known"))?;
    let ports: Vec<_> = found.iter().map(|it| format!("{} {}", it.service, it.port)).collect();
    ensure!(!ports.is_empty(), "{address} is no Service's address");
    if let Some(Wish { protocol, port }) = wish {
        let port = port.map(|port| Range { proto: protocol, first: port, last: port }.to_string());
        found.retain(|it| Some(&it.port) == port.as_ref());
    }
    ensure!(!found.is_empty(), "a Service's address, but not by this port: {}", ports.join(", "));
    let ask_each = |Translation { service, port, backends }| {
        let backends = backends.into_iter().map(|it| Ok((it.clone(), ask(source, &it)?)));
        Ok(Backends { service, port, backends: backends.collect::<Result<_>>()? })
    };
    found.into_iter().map(ask_each).collect()
}

/// One Service: all in a line, then each backend.
fn print_backends(source: &FlowEnd, name: &str, it: &Backends) -> Result<()> {
    let Backends { service, port, backends } = it;
    let allowed = backends.values().filter(|it| it.live.allowed).count();
    let verdict = match (allowed, backends.len()) {
        (_, 0) => "no backend is ready".into(),
        (0, all) => format!("denied, 0 of {all} backends"),
        (some, all) if some < all => format!("allowed in part, {some} of {all} backends"),
        (_, all) => format!("allowed, {all} of {all} backends"),
    };
    let FlowEnd { name: source, identity, .. } = source;
    say(format_args!(
        "{source} (identity {identity}) → {name} (Service {service}), {port}: {verdict}"
    ))?;
    let mut each = backends.iter();
    each.try_for_each(|(backend, explained)| print(explained, &format!(", {backend}")))
}

/// One connection; `by` which port, where nobody has said it.
fn print(explained: &Explained, by: &str) -> Result<()> {
    let Explained { source, destination, explanation, live, faults } = explained;
    say(format_args!(
        "{} (identity {}) → {} (identity {}){by}: {}",
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
