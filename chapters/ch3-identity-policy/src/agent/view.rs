//! What the agent shows of itself: a copy that the engine makes whenever it has changed the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::events::{self, Event};
use super::explain::{Explanation, Party, explain};
use super::identity::{HOST, WORLD};
use super::policy::Policy;
use crate::api::{EndpointStatus, IdentityStatus, SecurityLabels};

/// All that can be asked about.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The endpoints of this node.
    pub endpoints: Vec<EndpointStatus>,
    /// All identities.
    pub identities: Vec<IdentityStatus>,
    /// What is not as it should be.
    pub problems: BTreeSet<String>,
    /// Which pod has an address, of this node or another, and its identity.
    pub pods: BTreeMap<Ipv4Addr, (String, u32)>,
    /// What identities in use stand for.
    pub labels: BTreeMap<u32, SecurityLabels>,
    /// The policies in force.
    pub policies: Vec<Policy>,
    /// Of the manifests that the maps follow.
    pub revision: u64,
    /// How many entries `endpoint_map` and `policy_map` have.
    pub sizes: [usize; 2],
}

/// An event with names, and for a policy's drop with the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What the kernel said.
    #[serde(flatten)]
    pub event: Event,
    /// The pod that has the source address, or what stands for its identity.
    pub source_name: String,
    /// The same for the destination.
    pub destination_name: String,
    /// Why, as the policies say; only where they are the reason.
    pub explanation: Option<Explanation>,
}

impl View {
    /// Puts names to an event.
    pub fn tell(&self, event: Event) -> Told {
        let mut source = self.party(event.source, event.source_identity);
        let mut destination = self.party(event.destination, event.destination_identity);
        if event.protocol == 0 {
            // It has no addresses that we know of, but the veth is some pod's.
            let pod = self.endpoints.iter().find(|it| it.new.ifindex == event.ifindex);
            let pod = pod.and_then(|it| self.pods.get(&it.new.address)).map(|it| it.0.clone());
            let (end, other) = match event.hook.as_str() {
                "from-pod" => (&mut source, &mut destination),
                _ => (&mut destination, &mut source),
            };
            end.name = pod.unwrap_or_else(|| format!("ifindex {}", event.ifindex));
            other.name = "?".into();
        }
        let explanation = match event.reason.as_str() {
            events::DENIED | events::EGRESS => Some(explain(&self.policies, &source, &destination)),
            // It is the question that is not allowed any more.
            events::ANSWER => Some(explain(&self.policies, &destination, &source)),
            _ => None,
        };
        let (source_name, destination_name) = (source.name, destination.name);
        Told { event, source_name, destination_name, explanation }
    }

    /// One end of a connection. Who comes by another's address, through a Service of his own, is
    /// known by his identity only.
    fn party(&self, address: Ipv4Addr, identity: u32) -> Party {
        let labels = self.labels.get(&identity).cloned();
        let name = match (self.pods.get(&address), identity) {
            (Some((name, _)), _) => name.clone(),
            (None, HOST) => "host".into(),
            (None, WORLD) => format!("world ({address})"),
            (None, _) => address.to_string(),
        };
        Party { name, identity, labels }
    }

    /// One end by what people call it: a pod with or without its namespace, an endpoint's id, an
    /// address, `host`, `world`. With its address, if it has one.
    pub fn find(&self, which: &str) -> Result<(Party, Option<Ipv4Addr>)> {
        let reserved =
            |identity, name: &str| Ok((Party { name: name.into(), identity, labels: None }, None));
        match which {
            "host" => return reserved(HOST, "host"),
            "world" => return reserved(WORLD, "world"),
            _ => {}
        }
        let by_id = self.endpoints.iter().find(|it| it.id.to_string() == which);
        let is_it = |(address, (name, _)): &(&Ipv4Addr, &(String, u32))| {
            by_id.is_some_and(|it| it.new.address == **address)
                || address.to_string() == which
                || *name == which
                || name.split_once('/').is_some_and(|(_, name)| name == which)
        };
        let found: Vec<_> = self.pods.iter().filter(is_it).collect();
        match (found.as_slice(), which.parse()) {
            ([], Ok(address)) => Ok((self.party(address, WORLD), Some(address))),
            ([], Err(_)) => bail!("there is no pod {which:?}: see `ebpf-agent endpoint list`"),
            ([(address, (_, identity))], _) => {
                Ok((self.party(**address, *identity), Some(**address)))
            }
            ([(_, (first, _)), (_, (second, _)), ..], _) => {
                bail!("{which:?} may be {first} or {second}: say the namespace too")
            }
        }
    }
}
