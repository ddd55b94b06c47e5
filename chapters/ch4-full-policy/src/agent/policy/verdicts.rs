//! What the policies say of identities: the heart of the agent. Verdicts are kept; whatever
//! changes is worked into those that it touches, and into no other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blocks::{BlockSet, table};
use super::network_policy::{Asks, Policy};
use super::ports::PortSet;
use super::rule::Rule;
use crate::agent::objects::directory::of_namespace;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::{Asked, is_unique};
use crate::api::SecurityLabels;
use crate::maps::{Direction, EGRESS_ISOLATED, PolicyKey};

mod identities;

/// The peer in `policy_map` that stands for anybody.
const ANYBODY: u32 = 0;

/// What the policies say of identities.
#[derive(Debug, Default)]
pub struct Verdicts {
    policies: BTreeMap<Name, InForce>,
    /// The identities in use.
    identities: BTreeMap<u32, Arc<SecurityLabels>>,
    verdicts: BTreeMap<u32, Verdict>,
    /// How many policies ask about what counts for an identity only then.
    labels_asked: BTreeMap<String, usize>,
    ports_asked: BTreeMap<String, usize>,
    changes: VerdictChanges,
}

/// What a pair may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// By which ports.
    pub ports: PortSet,
    /// Of anybody: from or to where.
    pub blocks: Option<Arc<BlockSet>>,
}

/// By peer.
type Side = BTreeMap<u32, Allowed>;

/// What holds for one identity: in each direction its own policies' yes.
#[derive(Debug, Default)]
struct Verdict {
    sides: [Side; 2],
    /// What goes into its endpoints' flags.
    flags: u16,
}

/// A policy, and the identities that it is about.
#[derive(Debug)]
struct InForce {
    policy: Arc<Policy>,
    subjects: BTreeSet<u32>,
    /// In each direction: whom which of its rules describe.
    peers: [BTreeMap<u32, Vec<usize>>; 2],
}

/// What may have changed of the verdicts.
#[derive(Debug, Default)]
pub struct VerdictChanges {
    /// Whose policies, and of which peer.
    pub pairs: BTreeSet<PolicyKey>,
    /// Whose flags.
    pub flags: BTreeSet<u32>,
}

impl InForce {
    fn learn(&mut self, id: u32, labels: &SecurityLabels) {
        if self.policy.selects(labels) {
            self.subjects.insert(id);
        }
        for direction in Direction::BOTH {
            let rules = self.policy.rules(direction).unwrap_or_default().iter().enumerate();
            // In egress a name is another number for each pod: everybody is each of them.
            let is_pair = |rule: &Rule| match rule.is_everybody() {
                true => direction == Direction::Egress && rule.ports.names().next().is_some(),
                false => rule.describes(labels),
            };
            let describing: Vec<_> =
                rules.filter(|(_, rule)| is_pair(rule)).map(|(index, _)| index).collect();
            if !describing.is_empty() {
                self.peers[direction as usize].insert(id, describing);
            }
        }
    }

    /// Peers, each with a rule that describes it.
    fn pairs(&self, direction: Direction) -> impl Iterator<Item = (u32, &Rule)> {
        let peers = self.peers[direction as usize].keys().copied();
        peers.flat_map(move |id| self.about(direction, id).map(move |rule| (id, rule)))
    }

    /// The rules that describe an identity.
    fn about(&self, direction: Direction, id: u32) -> impl Iterator<Item = &Rule> {
        let indexes = self.peers[direction as usize].get(&id).into_iter().flatten();
        let rules = self.policy.rules(direction).unwrap_or_default();
        indexes.map(|index| &rules[*index])
    }
}

impl Verdicts {
    /// What may have changed since somebody asked last.
    pub fn take_changes(&mut self) -> VerdictChanges {
        std::mem::take(&mut self.changes)
    }

    /// The policies by name.
    pub fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name).map(|in_force| &in_force.policy)
    }

    /// What a pair may, if anything.
    pub fn get(&self, pair: &PolicyKey) -> Option<&Allowed> {
        let (subject, peer) = pair.ends();
        self.verdicts.get(&subject)?.sides[pair.direction as usize].get(&peer)
    }

    /// What goes into the flags of an identity's endpoints.
    pub fn flags(&self, id: u32) -> u16 {
        self.verdicts.get(&id).map_or(0, |verdict| verdict.flags)
    }

    /// What counts for an identity only since some policy asks about it.
    pub fn asked(&self) -> Asked {
        Asked {
            labels: self.labels_asked.keys().cloned().collect(),
            ports: self.ports_asked.keys().cloned().collect(),
        }
    }

    /// A policy is new or another, or (`None`) gone: what it selects or has selected is judged
    /// anew.
    pub fn set_policy(&mut self, name: &Name, policy: Option<Arc<Policy>>) {
        let mut subjects = BTreeSet::new();
        if let Some(before) = self.policies.remove(name) {
            self.ask(&before.policy, |count| *count -= 1);
            subjects = before.subjects;
        }
        if let Some(policy) = policy {
            self.ask(&policy, |count| *count += 1);
            let (subjects_now, peers) = Default::default();
            let mut in_force = InForce { policy, subjects: subjects_now, peers };
            self.identities.iter().for_each(|(id, labels)| in_force.learn(*id, labels));
            subjects.extend(&in_force.subjects);
            self.policies.insert(name.clone(), in_force);
        }
        self.labels_asked.retain(|_, count| *count > 0);
        self.ports_asked.retain(|_, count| *count > 0);
        subjects.into_iter().for_each(|id| self.judge(id));
    }

    fn ask(&mut self, policy: &Policy, change: impl Fn(&mut usize)) {
        for asks in policy.asks() {
            match asks {
                Asks::Label(key) if !is_unique(key) => {}
                Asks::Label(key) => change(self.labels_asked.entry(key.into()).or_default()),
                Asks::Port(name) => change(self.ports_asked.entry(name.into()).or_default()),
            }
        }
    }

    /// The policies that isolate an identity in a direction, and their rules.
    fn isolating(
        &self,
        id: u32,
        direction: Direction,
    ) -> impl Iterator<Item = (&InForce, &[Rule])> {
        let namespace = self.identities.get(&id).map_or("", |labels| &labels.namespace);
        let policies = of_namespace(&self.policies, namespace).map(|(_, in_force)| in_force);
        let selecting = policies.filter(move |in_force| in_force.subjects.contains(&id));
        selecting.filter_map(move |in_force| Some((in_force, in_force.policy.rules(direction)?)))
    }

    // #region allowed
    /// With whom an identity may talk. Policies only allow: their effect is the union.
    fn side(&self, id: u32, direction: Direction) -> Side {
        let isolating: Vec<_> = self.isolating(id, direction).collect();
        if isolating.is_empty() {
            // For egress the endpoint's flag says so, and nobody looks here.
            let all = Allowed { ports: PortSet::ALL, blocks: None };
            return (direction == Direction::Ingress)
                .then_some((ANYBODY, all))
                .into_iter()
                .collect();
        }
        let anybody = self.anybody(id, direction, &isolating);
        let mut side = Side::new();
        if !anybody.ports.is_all() {
            for (in_force, _) in &isolating {
                for (peer, rule) in in_force.pairs(direction) {
                    let ports = self.ports(rule, direction, id, peer);
                    side.entry(peer).or_default().ports.extend(&ports);
                }
            }
            side.retain(|_, allowed| !allowed.ports.is_within(&anybody.ports));
        }
        if anybody != Allowed::default() {
            side.insert(ANYBODY, anybody);
        }
        side
    }

    /// What is allowed whoever it is, and what by where it is.
    fn anybody(&self, id: u32, direction: Direction, isolating: &[(&InForce, &[Rule])]) -> Allowed {
        let mut ports = PortSet::default();
        let mut blocks = Vec::new();
        for rule in isolating.iter().flat_map(|(_, rules)| *rules) {
            let its = match direction {
                Direction::Egress => Cow::Borrowed(rule.ports.numbers()),
                Direction::Ingress => rule.ports.resolve(self.named_ports(id)),
            };
            if rule.is_everybody() {
                ports.extend(&its);
            } else if let Some(block) = rule.block() {
                blocks.push((block, its.into_owned()));
            }
        }
        if ports.is_all() {
            blocks.clear();
        }
        let table = table(&blocks);
        Allowed { ports, blocks: (!table.is_empty()).then(|| Arc::new(table)) }
    }

    /// By which ports a rule of `id`'s allows a peer that it describes.
    fn ports<'a>(
        &self,
        rule: &'a Rule,
        direction: Direction,
        id: u32,
        peer: u32,
    ) -> Cow<'a, PortSet> {
        let target = match direction {
            Direction::Egress => peer,
            Direction::Ingress => id,
        };
        rule.ports.resolve(self.named_ports(target))
    }
    // #endregion allowed

    /// Judges an identity anew, and remembers in what the verdict differs.
    fn judge(&mut self, id: u32) {
        let isolated = self.isolating(id, Direction::Egress).next().is_some();
        let now = Verdict {
            sides: Direction::BOTH.map(|direction| self.side(id, direction)),
            flags: if isolated { EGRESS_ISOLATED } else { 0 },
        };
        let before = self.verdicts.insert(id, now).unwrap_or_default();
        let now = &self.verdicts[&id];
        for direction in Direction::BOTH {
            let (before, now) = (&before.sides[direction as usize], &now.sides[direction as usize]);
            let peers = before.keys().chain(now.keys());
            let changed = peers.filter(|peer| before.get(peer) != now.get(peer));
            let pair = |peer: &u32| PolicyKey::new(direction, id, *peer);
            self.changes.pairs.extend(changed.map(pair));
        }
        if before.flags != now.flags {
            self.changes.flags.insert(id);
        }
    }
}
