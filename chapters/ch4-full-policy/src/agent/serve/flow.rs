//! Who is at the two ends of a flow, in the words of people.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::explain::{Explanation, FlowEnd, Wish, explain};
use crate::agent::objects::directory::of_namespace;
use crate::agent::owners::identity::{HOST, WORLD};
use crate::agent::owners::local::LocalEndpoint;
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::ports::protocol_name;
use crate::agent::reconcile::view::{PodView, View};
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
    /// For what; `None`: for anything.
    pub wish: Option<Wish>,
}

impl Question {
    /// What the policies say.
    pub fn answer(&self) -> Explanation {
        explain(&self.policies, &self.source, &self.destination, self.wish)
    }
}

impl View {
    /// What is wrong with the filters of the endpoint that has an address.
    pub fn fault_at(&self, address: Ipv4Addr) -> Option<String> {
        let mut endpoints = self.endpoints.iter();
        let (link, _) = endpoints.find(|(_, endpoint)| endpoint.local.new.address == address)?;
        self.unprotected.get(link).cloned()
    }

    /// A question with the policies that may decide it.
    pub fn question(&self, source: FlowEnd, destination: FlowEnd, wish: Option<Wish>) -> Question {
        let labels = [&source, &destination].map(|end| end.labels.as_ref());
        let namespaces = labels.into_iter().flatten().map(|labels| labels.namespace.as_str());
        let namespaces = namespaces.collect::<BTreeSet<_>>().into_iter();
        let policies = namespaces.flat_map(|namespace| of_namespace(&self.policies, namespace));
        Question {
            policies: policies.map(|(_, policy)| policy.clone()).collect(),
            source,
            destination,
            wish,
        }
    }

    /// Puts names to an event; the question is what remains to be explained.
    pub fn with_names(&self, event: Event) -> (NamedEvent, Option<Question>) {
        let mut source = self.end(event.source, event.source_identity);
        let mut destination = self.end(event.destination, event.destination_identity);
        if event.protocol == 0 {
            // It has no addresses that we know of, but the veth is some pod's.
            let mut endpoints = self.endpoints.values().map(|endpoint| &endpoint.local);
            let pod = endpoints.find(|local| local.new.ifindex == event.ifindex);
            let (end, other) = match event.hook {
                Hook::FromPod | Hook::ToNode => (&mut source, &mut destination),
                Hook::ToPod => (&mut destination, &mut source),
            };
            end.name =
                pod.map_or_else(|| format!("ifindex {}", event.ifindex), LocalEndpoint::name);
            other.name = "?".into();
        }
        let (source_name, destination_name) = (source.name.clone(), destination.name.clone());
        let wish = |port| {
            let has_ports = protocol_name(event.protocol).is_some();
            Some(Wish { protocol: event.protocol, port: Some(port).filter(|_| has_ports) })
        };
        let question = match event.reason {
            Reason::DropPolicy | Reason::DropEgress => {
                Some(self.question(source, destination, wish(event.destination_port)))
            }
            // It is the question that is not allowed any more.
            Reason::DropAnswer => Some(self.question(destination, source, wish(event.source_port))),
            _ => None,
        };
        (NamedEvent { event, source_name, destination_name, explanation: None }, question)
    }

    /// The end with this address and identity. A pod that comes by another's address, through a
    /// Service of its own, is known by its identity only.
    fn end(&self, address: Ipv4Addr, identity: u32) -> FlowEnd {
        let labels = self.identities.get(&identity).map(|known| (*known.labels).clone());
        let name = match (self.pods.get(&address), identity) {
            (Some(pod), _) => pod.name.to_string(),
            (None, HOST) => "host".into(),
            (None, WORLD) => format!("world ({address})"),
            (None, _) => address.to_string(),
        };
        FlowEnd { name, identity, address: Some(address), labels }
    }

    /// One end by what people call it: a pod with or without its namespace, an endpoint's id, an
    /// address, `host`, `world`.
    pub fn find(&self, which: &str) -> Result<FlowEnd> {
        let reserved =
            |identity| FlowEnd { name: which.into(), identity, address: None, labels: None };
        match which {
            "host" => return Ok(reserved(HOST)),
            "world" => return Ok(reserved(WORLD)),
            _ => {}
        }
        let id = which.parse().ok();
        let by_id = self.endpoints.values().find(|endpoint| Some(endpoint.local.id) == id);
        let by_address = which.parse().ok();
        let is_it = |(address, pod): &(&Ipv4Addr, &PodView)| {
            by_id.is_some_and(|endpoint| endpoint.local.new.address == **address)
                || by_address == Some(**address)
                || *pod.name == *which
                || pod.name.split_once('/').is_some_and(|(_, name)| name == which)
        };
        let found: Vec<_> = self.pods.iter().filter(is_it).collect();
        let at = |address, identity| Ok(self.end(address, identity));
        match (found.as_slice(), by_address) {
            ([], Some(address)) => at(address, WORLD),
            ([], None) => bail!("there is no pod {which:?}: see `ebpf-agent endpoint list`"),
            ([(address, pod)], _) => at(**address, pod.identity),
            ([(_, first), (_, second), ..], _) => {
                let (first, second) = (&first.name, &second.name);
                bail!("{which:?} may be {first} or {second}: say the namespace too")
            }
        }
    }
}
