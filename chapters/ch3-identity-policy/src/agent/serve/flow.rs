//! Who is at the two ends of a flow, in the words of people.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::explain::{Explanation, FlowEnd, explain};
use crate::agent::objects::directory::of_namespace;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::{HOST, WORLD};
use crate::agent::policy::network_policy::Policy;
use crate::agent::reconcile::view::View;
use crate::maps::event::{Hook, Reason};

/// An event with names, and for a policy's drop with the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEvent {
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

/// Why may, or may not, one connect to another? It takes its time to find out, and no view.
#[derive(Debug)]
pub struct Question {
    policies: Vec<Arc<Policy>>,
    /// Who asks.
    pub source: FlowEnd,
    /// Who is asked.
    pub destination: FlowEnd,
}

impl Question {
    /// What the policies say.
    pub fn answer(&self) -> Explanation {
        explain(&self.policies, &self.source, &self.destination)
    }
}

impl View {
    /// What is wrong with the filters of who has an address.
    pub fn fault_at(&self, address: Ipv4Addr) -> Option<String> {
        let link = self.endpoints.iter().find(|(_, it)| it.0.new.address == address);
        self.unprotected.get(link?.0).cloned()
    }

    /// A question with the policies that may decide it.
    pub fn question(&self, source: FlowEnd, destination: FlowEnd) -> Question {
        let labels = [&source, &destination].map(|it| it.labels.as_ref());
        let namespaces = labels.into_iter().flatten().map(|it| it.namespace.as_str());
        let namespaces = namespaces.collect::<BTreeSet<_>>().into_iter();
        let policies = namespaces.flat_map(|it| of_namespace(&self.policies, it));
        Question { policies: policies.map(|it| it.1.clone()).collect(), source, destination }
    }

    /// Puts names to an event; the question is what remains to be explained.
    pub fn tell(&self, event: Event) -> (NamedEvent, Option<Question>) {
        let mut source = self.party(event.source, event.source_identity);
        let mut destination = self.party(event.destination, event.destination_identity);
        if event.protocol == 0 {
            // It has no addresses that we know of, but the veth is some pod's.
            let mut endpoints = self.endpoints.values();
            let pod = endpoints.find(|(it, _)| it.new.ifindex == event.ifindex);
            let (end, other) = match event.hook {
                Hook::FromPod => (&mut source, &mut destination),
                Hook::ToPod => (&mut destination, &mut source),
            };
            end.name = pod.map_or_else(|| format!("ifindex {}", event.ifindex), |it| it.0.name());
            other.name = "?".into();
        }
        let (source_name, destination_name) = (source.name.clone(), destination.name.clone());
        let question = match event.reason {
            Reason::DropPolicy | Reason::DropEgress => Some(self.question(source, destination)),
            // It is the question that is not allowed any more.
            Reason::DropAnswer => Some(self.question(destination, source)),
            _ => None,
        };
        (NamedEvent { event, source_name, destination_name, explanation: None }, question)
    }

    /// One end of a connection. Who comes by another's address, through a Service of his own, is
    /// known by his identity only.
    fn party(&self, address: Ipv4Addr, identity: u32) -> FlowEnd {
        let labels = self.identities.get(&identity).map(|it| (*it.0).clone());
        let name = match (self.pods.get(&address), identity) {
            (Some((name, _)), _) => name.to_string(),
            (None, HOST) => "host".into(),
            (None, WORLD) => format!("world ({address})"),
            (None, _) => address.to_string(),
        };
        FlowEnd { name, identity, labels }
    }

    /// One end by what people call it: a pod with or without its namespace, an endpoint's id, an
    /// address, `host`, `world`. With its address, if it has one.
    pub fn find(&self, which: &str) -> Result<(FlowEnd, Option<Ipv4Addr>)> {
        let reserved = |identity, name: &str| {
            Ok((FlowEnd { name: name.into(), identity, labels: None }, None))
        };
        match which {
            "host" => return reserved(HOST, "host"),
            "world" => return reserved(WORLD, "world"),
            _ => {}
        }
        let id = which.parse().ok();
        let by_id = self.endpoints.values().find(|(it, _)| Some(it.id) == id);
        let by_address = which.parse().ok();
        let is_it = |(address, (name, _)): &(&Ipv4Addr, &(Name, u32))| {
            by_id.is_some_and(|(it, _)| it.new.address == **address)
                || by_address == Some(**address)
                || **name == *which
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
