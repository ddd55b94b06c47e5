//! Pods that come and go: of other nodes in the API, and of this node by what the plugin asks.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ch3_identity_policy::api::{NewEndpoint, PodRef};
use ch3_identity_policy::client;
use ch3_identity_policy::maps::{EndpointMap, Number, endpoint_map, key};
use lab::Node;

use crate::cluster::{self, labels, namespace};
use crate::times::Lag;

const PATIENCE: Duration = Duration::from_secs(20);
/// From one look into the map to the next.
const INTERVAL: Duration = Duration::from_micros(200);

/// A pod of another node, whose labels others have as well.
pub fn elsewhere(node: &Node, rounds: usize) -> Result<Vec<Lag>> {
    let address = Ipv4Addr::new(10, 128, 0, 1);
    let pod = cluster::pod(&namespace(0), "visitor", labels(0, 0, 0), address);
    let file = "pod_visitor.yaml";
    let maps = node.enter(|| anyhow::Ok((endpoint_map()?, Number::open("epoch_map")?)))??;
    let [mut comes, mut goes] = [Lag::new("a pod of another node comes")?, Lag::new("it goes")?];
    for _ in 0..rounds {
        let start = Instant::now();
        cluster::write(node, file, &pod)?;
        comes.map.record(wait(&maps, address, true, start)?)?;
        let start = Instant::now();
        node.remove_manifest(file)?;
        goes.map.record(wait(&maps, address, false, start)?)?;
    }
    Ok(vec![comes, goes])
}

/// What ADD and DEL ask of the agent, and nothing else of them.
pub fn here(node: &Node, rounds: usize) -> Result<Vec<Lag>> {
    let (link, address) = ("veth0000000000a", Ipv4Addr::new(10, 13, 0, 200));
    let mut pod = cluster::pod(&namespace(0), "guest", labels(0, 0, 0), address);
    pod["spec"]["nodeName"] = node.name().into();
    let reference = PodRef { namespace: namespace(0), name: "guest".into(), uid: None };
    let new = NewEndpoint {
        container_id: "guest".into(),
        ifname: "eth0".into(),
        pod: Some(reference),
        address,
        mac: [2, 0, 0, 0, 0, 1],
        ifindex: 1,
    };
    cluster::write(node, "pod_guest.yaml", &pod)?;
    let [mut comes, mut goes] = [Lag::new("ADD's PUT")?, Lag::new("DEL's DELETE")?];
    node.enter(|| {
        for _ in 0..rounds {
            let start = Instant::now();
            client::put(link, &new)?;
            comes.map.record(start.elapsed())?;
            let start = Instant::now();
            client::delete(link)?;
            goes.map.record(start.elapsed())?;
        }
        Ok::<_, anyhow::Error>(())
    })??;
    node.remove_manifest("pod_guest.yaml")?;
    Ok(vec![comes, goes])
}

/// How long it takes until an address counts, or does not.
fn wait(
    (map, epoch): &(EndpointMap, Number),
    address: Ipv4Addr,
    there: bool,
    start: Instant,
) -> Result<Duration> {
    loop {
        let now = epoch.get()?;
        if map.get(&key(address), 0).is_ok_and(|entry| entry.at(now).is_some()) == there {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < PATIENCE, "{PATIENCE:?} after the change it is not in the map");
        std::thread::sleep(INTERVAL);
    }
}
