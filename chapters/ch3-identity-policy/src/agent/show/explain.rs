//! `explain`: what policies and maps say of a connection.

use anyhow::Result;

use super::table::{Output, json};
use crate::agent::server::Explained;
use crate::client;

/// Says in a few lines why one may, or may not, connect to another.
pub fn explain(source: &str, destination: &str, output: Output) -> Result<()> {
    let path = format!("/v1/explain?from={}&to={}", plain(source), plain(destination));
    let it: Explained = client::get(&path)?;
    if output.is_json() {
        return json(&it);
    }
    let verdict = |allowed: bool| if allowed { "allowed" } else { "denied" };
    println!(
        "{} (identity {}) → {} (identity {}): {}",
        it.source.name,
        it.source.identity,
        it.destination.name,
        it.destination.identity,
        verdict(it.live.allowed)
    );
    println!("  policies: {}: {}", verdict(it.explanation.allowed), it.explanation.why);
    for policy in &it.explanation.isolated_by {
        println!("    isolated by {policy}");
    }
    for rule in &it.explanation.allowed_by {
        println!("    allowed by {rule}");
    }
    if let Some(miss) = &it.explanation.nearest_miss {
        println!("    nearest miss: {miss}");
    }
    match it.live.entry {
        Some((0, to)) => println!("  maps: allowed by the entry (any, {to})"),
        Some((from, to)) => println!("  maps: allowed by the entry ({from}, {to})"),
        None => println!("  maps: {}, no entry decides", verdict(it.live.allowed)),
    }
    if it.live.allowed != it.explanation.allowed {
        println!(
            "  They disagree: the maps have not caught up, or are full; see `ebpf-agent status`"
        );
    }
    Ok(())
}

/// What a name may consist of goes into a URL as it is; all else no pod is called.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-./_".contains(*c)).collect()
}
