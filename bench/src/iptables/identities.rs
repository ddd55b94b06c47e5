//! The same by chapter 3: labels on both sides, and one policy.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ch3_identity_policy::maps::{PolicyKey, endpoint, endpoint_map, key, policy_map};
use lab::Node;
use serde_json::json;

use super::pairs::Pairs;
use crate::cluster;

const POLICY: &str = "networkpolicy_default_pairs.yaml";
const PATIENCE: Duration = Duration::from_secs(60);

/// How pods are labelled.
#[derive(Debug, Clone, Copy)]
pub struct Identities {
    /// Each pod has labels of its own; else all sources have the same, and all destinations.
    pub own_labels: bool,
}

impl Identities {
    /// In the tables.
    pub fn name(self) -> &'static str {
        if self.own_labels { "chapter 3, own labels" } else { "chapter 3, two deployments" }
    }

    /// The pods are there first; what takes time is the policy.
    pub fn install(self, node: &Node, pairs: &Pairs) -> Result<Duration> {
        node.remove_manifest(POLICY)?;
        let _ = self.remove_pod(node, pairs.one_more);
        for (app, pods) in [("source", &pairs.sources), ("destination", &pairs.destinations)] {
            // The last one runs here.
            pods[..pods.len() - 1].iter().try_for_each(|it| self.write_pod(node, app, *it))?;
        }
        let all = pairs.sources.iter().chain(&pairs.destinations);
        let expected = if self.own_labels { pairs.count() } else { 1 };
        let ends = [pairs.sources.last(), pairs.destinations.last()].map(|it| it.copied());
        let [Some(client), Some(server)] = ends else { bail!("no pairs") };
        node.enter(|| {
            let (endpoints, policy) = (endpoint_map()?, policy_map()?);
            wait(|| {
                let known = all.clone().all(|it| endpoints.get(&key(*it), 0).is_ok());
                Ok(known && policy.keys().all(|it| it.is_ok_and(|it| it.src_id == 0)))
            })?;
            let app = |app: &str| json!({ "matchLabels": { "app": app } });
            let spec = json!({
                "podSelector": app("destination"),
                "ingress": [{ "from": [{ "podSelector": app("source") }] }],
            });
            let start = Instant::now();
            cluster::write(node, POLICY, &cluster::policy("default", "pairs", spec))?;
            wait(|| {
                let [src_id, dst_id] = identities(&[client, server])?;
                let is_open = policy.get(&PolicyKey { src_id: 0, dst_id }, 0).is_ok();
                let has = policy.get(&PolicyKey { src_id, dst_id }, 0).is_ok();
                // To count is slow: last.
                Ok(has && !is_open && count_pairs()? == expected)
            })?;
            Ok(start.elapsed())
        })?
    }

    /// One more source: until all destinations may be reached by it.
    pub fn one_more(self, node: &Node, pairs: &Pairs) -> Result<Duration> {
        node.enter(|| {
            let endpoints = endpoint_map()?;
            let start = Instant::now();
            self.write_pod(node, "source", pairs.one_more)?;
            // It is published when its pairs are.
            wait(|| Ok(endpoints.get(&key(pairs.one_more), 0).is_ok()))?;
            Ok(start.elapsed())
        })?
    }

    fn write_pod(self, node: &Node, app: &str, address: Ipv4Addr) -> Result<()> {
        let mut labels = json!({ "app": app });
        if self.own_labels {
            labels["number"] = u32::from(address).to_string().into();
        }
        let name = format!("remote-{}", u32::from(address));
        let pod = cluster::pod("default", &name, labels, address);
        cluster::write(node, &format!("pod_default_{name}.yaml"), &pod)
    }

    fn remove_pod(self, node: &Node, address: Ipv4Addr) -> Result<()> {
        node.remove_manifest(&format!("pod_default_remote-{}.yaml", u32::from(address)))
    }
}

fn wait(is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            bail!("chapter 3's maps are not so after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// The identities of two addresses.
fn identities(ends: &[Ipv4Addr; 2]) -> Result<[u32; 2]> {
    let identity = |it: &Ipv4Addr| {
        Ok::<_, anyhow::Error>(endpoint(*it)?.context("a pod is no endpoint")?.identity)
    };
    Ok([identity(&ends[0])?, identity(&ends[1])?])
}

/// Entries that are no wildcards.
fn count_pairs() -> Result<usize> {
    let keys = policy_map()?.keys().collect::<Result<Vec<_>, _>>()?;
    Ok(keys.iter().filter(|it| it.src_id != 0).count())
}

/// How many entries both maps have. To be called inside the node.
pub fn entries(pairs: &Pairs) -> Result<String> {
    let endpoints = pairs.sources.len() + pairs.destinations.len();
    Ok(format!("{} pairs, {endpoints} endpoints", count_pairs()?))
}

/// Packets that the pair of these two has let in. To be called inside the node.
pub fn let_in(ends: &[Ipv4Addr; 2]) -> Result<u64> {
    let [src_id, dst_id] = identities(ends)?;
    Ok(policy_map()?.get(&PolicyKey { src_id, dst_id }, 0)?.packets)
}
