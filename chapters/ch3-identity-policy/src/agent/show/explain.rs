//! `explain`: what policies and maps say of a connection.

use anyhow::Result;

use super::table::{Output, json, say};
use crate::agent::serve::server::Explained;
use crate::client;

/// Says in a few lines why one may, or may not, connect to another.
pub fn explain(source: &str, destination: &str, output: Output) -> Result<()> {
    let path = format!("/v1/explain?from={}&to={}", plain(source), plain(destination));
    let explained: Explained = client::get(&path)?;
    if output.is_json() {
        return json(&explained);
    }
    let verdict = |allowed: bool| if allowed { "allowed" } else { "denied" };
    say(format_args!(
        "{} (identity {}) → {} (identity {}): {}",
        explained.source.name,
        explained.source.identity,
        explained.destination.name,
        explained.destination.identity,
        verdict(explained.live.allowed)
    ))?;
    let explanation = &explained.explanation;
    say(format_args!("  policies: {}: {}", verdict(explanation.allowed), explanation.why))?;
    for policy in &explanation.isolated_by {
        say(format_args!("    isolated by {policy}"))?;
    }
    for rule in &explanation.allowed_by {
        say(format_args!("    allowed by {rule}"))?;
    }
    if let Some(miss) = &explanation.nearest_miss {
        say(format_args!("    nearest miss: {miss}"))?;
    }
    match explained.live.entry {
        Some((0, to)) => say(format_args!("  maps: allowed by the entry (any, {to})")),
        Some((from, to)) => say(format_args!("  maps: allowed by the entry ({from}, {to})")),
        None => say(format_args!("  maps: {}, no entry decides", verdict(explained.live.allowed))),
    }?;
    if explained.live.allowed != explanation.allowed {
        say("  They disagree: the maps have not caught up, or are full; see `ebpf-agent status`")?;
    }
    explained.faults.iter().try_for_each(|fault| say(format_args!("  But {fault}")))
}

/// What a name may consist of goes into a URL as it is; all else no pod is called.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-./_".contains(*c)).collect()
}
