//! What the agent shows of itself: a copy that the engine makes whenever it has changed the maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::directory::of_namespace;
use super::events::{self, Event};
use super::explain::{Explanation, Party, explain};
use super::identity::{HOST, Identities, WORLD};
use super::local::{Local, LocalEndpoint};
use super::objects::Name;
use super::policy::Policy;
use super::wanted::Wanted;
use crate::api::SecurityLabels;

/// All that can be asked about. Who reads it, or copies it, takes no longer than that: the engine
/// waits meanwhile, and so does everybody behind it.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The endpoints of this node that have an identity, by link.
    pub endpoints: BTreeMap<Name, (LocalEndpoint, u32)>,
    /// What identities stand for, and whether they are in use.
    pub identities: BTreeMap<u32, (Arc<SecurityLabels>, bool)>,
    /// What is not as it should be.
    pub problems: BTreeSet<String>,
    /// The kernel does what is wanted, as far as we know: maps and filters are as they should be.
    pub is_sound: bool,
    /// What is wrong with the filters of an endpoint, by link.
    pub unprotected: BTreeMap<Name, String>,
    /// Which pod has an address, of this node or another, and its identity.
    pub pods: BTreeMap<Ipv4Addr, (Name, u32)>,
    /// The policies in force.
    pub policies: BTreeMap<Name, Arc<Policy>>,
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

/// Why may, or may not, one connect to another? It takes its time to find out, and no view.
#[derive(Debug)]
pub struct Question {
    policies: Vec<Arc<Policy>>,
    /// Who asks.
    pub source: Party,
    /// Who is asked.
    pub destination: Party,
}

impl Question {
    /// What the policies say.
    pub fn answer(&self) -> Explanation {
        explain(&self.policies, &self.source, &self.destination)
    }
}

impl View {
    /// Takes in what is another.
    pub fn learn(
        &mut self,
        changes: &Changes,
        wanted: &Wanted,
        local: &Local,
        identities: &Identities,
    ) {
        for name in &wanted.news.policies {
            set(&mut self.policies, name, wanted.verdicts.policy(name).cloned());
        }
        for id in &wanted.news.identities {
            let in_use = wanted.verdicts.labels(*id).is_some();
            let labels = identities.labels(*id).map(|it| (it.clone(), in_use));
            set(&mut self.identities, id, labels);
        }
        for link in &wanted.news.links {
            let identity =
                wanted.claims.owners.get(link).and_then(|it| it.endpoint).map(|it| it.identity);
            set(&mut self.endpoints, link, local.get(link).cloned().zip(identity));
        }
        for address in &changes.endpoints {
            let owner = wanted.claims.owners.owner(*address).map(|it| it.pod.clone());
            let identity = wanted.endpoints.get(address).map(|it| it.identity);
            set(&mut self.pods, address, owner.zip(identity));
        }
    }

    /// What is wrong with the filters of who has an address.
    pub fn fault_at(&self, address: Ipv4Addr) -> Option<String> {
        let link = self.endpoints.iter().find(|(_, it)| it.0.new.address == address);
        self.unprotected.get(link?.0).cloned()
    }

    /// A question with the policies that may decide it.
    pub fn question(&self, source: Party, destination: Party) -> Question {
        let labels = [&source, &destination].map(|it| it.labels.as_ref());
        let namespaces = labels.into_iter().flatten().map(|it| it.namespace.as_str());
        let namespaces = namespaces.collect::<BTreeSet<_>>().into_iter();
        let policies = namespaces.flat_map(|it| of_namespace(&self.policies, it));
        Question { policies: policies.map(|it| it.1.clone()).collect(), source, destination }
    }

    /// Puts names to an event; the question is what remains to be explained.
    pub fn tell(&self, event: Event) -> (Told, Option<Question>) {
        let mut source = self.party(event.source, event.source_identity);
        let mut destination = self.party(event.destination, event.destination_identity);
        if event.protocol == 0 {
            // It has no addresses that we know of, but the veth is some pod's.
            let mut endpoints = self.endpoints.values();
            let pod = endpoints.find(|(it, _)| it.new.ifindex == event.ifindex);
            let (end, other) = match event.hook.as_str() {
                "from-pod" => (&mut source, &mut destination),
                _ => (&mut destination, &mut source),
            };
            end.name = pod.map_or_else(|| format!("ifindex {}", event.ifindex), |it| it.0.name());
            other.name = "?".into();
        }
        let (source_name, destination_name) = (source.name.clone(), destination.name.clone());
        let question = match event.reason.as_str() {
            events::DENIED | events::EGRESS => Some(self.question(source, destination)),
            // It is the question that is not allowed any more.
            events::ANSWER => Some(self.question(destination, source)),
            _ => None,
        };
        (Told { event, source_name, destination_name, explanation: None }, question)
    }

    /// One end of a connection. Who comes by another's address, through a Service of his own, is
    /// known by his identity only.
    fn party(&self, address: Ipv4Addr, identity: u32) -> Party {
        let labels = self.identities.get(&identity).map(|it| (*it.0).clone());
        let name = match (self.pods.get(&address), identity) {
            (Some((name, _)), _) => name.to_string(),
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

fn set<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}
