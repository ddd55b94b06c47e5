//! A policy that is in force: which identities is it about?

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::rule::Rule;
use crate::api::SecurityLabels;
use crate::maps::Direction;

/// An identity, a direction, and which of its rules describes the identity.
type Described = (u32, Direction, usize);

/// A policy, and the identities that it is about.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) policy: Arc<Policy>,
    pub(super) subjects: BTreeSet<u32>,
    peers: BTreeSet<Described>,
}

impl InForce {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self { policy, subjects: BTreeSet::new(), peers: BTreeSet::new() }
    }

    pub(super) fn learn(&mut self, id: u32, labels: &SecurityLabels) {
        if self.policy.selects(labels) {
            self.subjects.insert(id);
        }
        for direction in Direction::BOTH {
            // In egress a name is another number for each pod: everybody is each of them.
            let is_pair = |rule: &Rule| match rule.is_everybody() {
                true => direction == Direction::Egress && rule.ports.names().next().is_some(),
                false => rule.describes(labels),
            };
            let rules = self.policy.rules(direction).unwrap_or_default().iter().enumerate();
            let describing = rules.filter(|(_, rule)| is_pair(rule));
            self.peers.extend(describing.map(|(index, _)| (id, direction, index)));
        }
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.subjects.remove(&id);
        for described in self.peers.range(all_of(id)).copied().collect::<Vec<_>>() {
            self.peers.remove(&described);
        }
    }

    /// The rules that describe an identity.
    pub(super) fn about(&self, id: u32) -> impl Iterator<Item = (Direction, &Rule)> {
        self.peers.range(all_of(id)).map(|it| (it.1, self.rule(it)))
    }

    /// Peers, each with a rule that describes it.
    pub(super) fn pairs(&self, direction: Direction) -> impl Iterator<Item = (u32, &Rule)> {
        let peers = self.peers.iter().filter(move |it| it.1 == direction);
        peers.map(|it| (it.0, self.rule(it)))
    }

    fn rule(&self, (_, direction, index): &Described) -> &Rule {
        &self.policy.rules(*direction).unwrap_or_default()[*index]
    }
}

fn all_of(id: u32) -> RangeInclusive<Described> {
    (id, Direction::Egress, 0)..=(id, Direction::Ingress, usize::MAX)
}
