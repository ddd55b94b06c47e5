//! Metrics in Prometheus' format.

use anyhow::Result;
use aya::maps::{Map, PerCpuArray};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::agent::reconcile::counters::Counters;
use crate::agent::reconcile::view::View;
use crate::maps;
use crate::maps::event::REASONS;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The two maps that the agent fills, in the order of [`View::sizes`].
const FILLED: [&str; 2] = ["endpoint_map", "policy_map"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InMap {
    map: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

type Gauges<L> = Family<L, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// All metrics as text. What cannot be read is left out.
pub fn metrics(counters: &Counters, view: &View) -> String {
    let mut registry = Registry::with_prefix("ebpf_agent");
    register_counters(&mut registry, counters);
    register_drops(&mut registry);
    register_sizes(&mut registry, view);
    register_view(&mut registry, view);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register_counters(registry: &mut Registry, counters: &Counters) {
    registry.register(
        "policy_lag_seconds",
        "From the news of a Pod, Namespace or NetworkPolicy to the maps. Alert if the 99th \
         percentile is above a second: policies are enforced late",
        (*counters.lag).clone(),
    );
    registry.register(
        "reconcile_errors",
        "How often the state could not be written. Alert on any: see the log",
        counters.errors.clone(),
    );
}

fn register_drops(registry: &mut Registry) {
    let (packets, bytes) =
        (Family::<Reason, Counter>::default(), Family::<Reason, Counter>::default());
    for (reason, (count, length)) in drops().unwrap_or_default() {
        packets.get_or_create(&Reason { reason }).inc_by(count);
        bytes.get_or_create(&Reason { reason }).inc_by(length);
    }
    registry.register(
        "drop_packets",
        "Dropped packets by reason. Alert on a rise of \"spoofed source\": some pod poses as another",
        packets,
    );
    registry.register("drop_bytes", "Their bytes", bytes);
}

fn register_sizes(registry: &mut Registry, view: &View) {
    let pressure = Gauges::<InMap>::default();
    for (map, size) in FILLED.into_iter().zip(view.sizes) {
        if let Ok(capacity) = maps::capacity(map) {
            pressure.get_or_create(&InMap { map }).set(size as f64 / f64::from(capacity));
        }
    }
    registry.register(
        "map_pressure",
        "How full a map is, 0 to 1. Alert above 0.9: what does not fit is denied",
        pressure,
    );
    let identities = Gauges::<State>::default();
    let in_use = view.identities.values().filter(|identity| identity.in_use).count();
    identities.get_or_create(&State { state: "in use" }).set(in_use as f64);
    let kept = view.identities.len() - in_use;
    identities.get_or_create(&State { state: "kept" }).set(kept as f64);
    registry.register("identities", "Of 65280 that there are", identities);
}

fn register_view(registry: &mut Registry, view: &View) {
    let gauge = |value: usize| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value.try_into().unwrap_or(i64::MAX));
        gauge
    };
    registry.register("endpoints", "Pods of this node", gauge(view.endpoints.len()));
    registry.register(
        "unprotected_endpoints",
        "Pods of this node whose filters could not be attached: see `ebpf-agent endpoint list`. \
         Alert on any",
        gauge(view.unprotected.len()),
    );
    registry.register("policies", "NetworkPolicies in force", gauge(view.policies.len()));
    registry.register(
        "problems",
        "What is not enforced or not published: see `ebpf-agent status`. Alert on any",
        gauge(view.problems.len()),
    );
}

/// Packets and bytes by reason, of all CPUs.
fn drops() -> Result<Vec<(&'static str, (u64, u64))>> {
    let map = PerCpuArray::<_, [u64; 2]>::try_from(Map::PerCpuArray(maps::open("metrics_map")?))?;
    let mut drops = Vec::new();
    for (reason, name) in REASONS.into_iter().skip(1) {
        let values = map.get(&(reason as u32), 0)?;
        let add = |sum: (u64, u64), counter: &[u64; 2]| (sum.0 + counter[0], sum.1 + counter[1]);
        drops.push((name, values.iter().fold((0, 0), add)));
    }
    Ok(drops)
}
