//! How soon a change of policies or labels is in force, on a node with many pods.

use anyhow::Result;
use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec};

use crate::churn;
use crate::cluster::{self, Size};
use crate::report::{Cell, Report, Table};
use crate::times::{Lag, ms};

/// Pods of this node beside client and server.
const LOCAL: u32 = 18;
/// Namespaces `web` and `db` come on top.
const CLUSTER: Size = Size { namespaces: 5, deployments: 10, pods: 180, policies: 50, full: false };

/// Each change `rounds` times.
pub fn run(rounds: usize) -> Result<Report> {
    let lags = Few::new("ch3", false)?.changes(rounds)?;
    let mut claims = Table::claims();
    for lag in &lags {
        claims.at_most(&format!("{}, p99 ms", lag.what), lag.seen().ms(0.99), 25.0);
    }
    let notes = vec![
        format!(
            "A node with {} pods and {} policies: {} pods run here, {} are other nodes', from \
             manifests; {rounds} times each change, each by one file that is renamed into place.",
            CLUSTER.pods + LOCAL + 2,
            CLUSTER.policies,
            LOCAL + 2,
            CLUSTER.pods,
        ),
        "Milliseconds from before the file is written to when the first datagram is sent that is \
         treated so, with one every 200 µs; the map is asked after each. Asserted: each change \
         comes into force once, and the answer does not go to and fro."
            .into(),
    ];
    Ok(Report { rounds, tables: vec![table("changes", &lags), claims], notes })
}

/// A cluster of 200 pods.
pub struct Few {
    chapter: &'static str,
    node: Node,
    client: Pod,
    server: Pod,
}

impl Few {
    /// On a node of this chapter; `full`: the policies have ports, blocks and egress.
    pub fn new(chapter: &'static str, full: bool) -> Result<Self> {
        let node = Node::new()?;
        chapter::install(&node, chapter, Profile::Release)?;
        Size { full, ..CLUSTER }.write(&node)?;
        run_pods(&node, &CLUSTER, LOCAL)?;
        let (client, server) = (node.run_pod(churn::client())?, node.run_pod(churn::server())?);
        Ok(Self { chapter, node, client, server })
    }

    /// Each change so many times.
    pub fn changes(&self, rounds: usize) -> Result<Vec<Lag>> {
        churn::run(&self.node, self.chapter, &self.client, &self.server, rounds)
    }
}

/// Pods of this node, with the labels of the cluster's deployments.
pub fn run_pods(node: &Node, size: &Size, count: u32) -> Result<Vec<Pod>> {
    let pod = |number: u32| {
        let (namespace, deployment) = (number % size.namespaces, number % size.deployments);
        let labels = cluster::labels(namespace, deployment, 0);
        let spec =
            PodSpec::new(format!("local-{number:03}")).namespace(cluster::namespace(namespace));
        let labels = labels.as_object().into_iter().flatten();
        let spec = labels
            .fold(spec, |spec, (key, value)| spec.label(key, value.as_str().unwrap_or_default()));
        Ok(node.run_pod(spec)?)
    };
    (0..count).map(pod).collect()
}

/// The lags as a table.
pub fn table(name: &'static str, lags: &[Lag]) -> Table {
    let columns =
        ["change", "count", "packet, p50 ms", "p99 ms", "max ms", "map, p50 ms", "p99 ms "];
    let mut table = Table::new(name, &columns);
    for Lag { what, packet, map } in lags {
        // Of some there is no packet to see.
        let packet = |quantile| match packet.count() {
            0 => Cell::Nothing,
            _ => ms(packet.ms(quantile)),
        };
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(packet);
        let [map_p50, map_p99] = [0.5, 0.99].map(|it| ms(map.ms(it)));
        table.row([(*what).into(), map.count().into(), p50, p99, max, map_p50, map_p99]);
    }
    table
}
