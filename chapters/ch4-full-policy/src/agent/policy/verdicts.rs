//! What the policies say of identities: the heart of the agent. Verdicts are kept; whatever
//! changes is worked into those that it touches, and into no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blocks::{BlockSet, table};
use super::network_policy::Policy;
use super::ports::PortSet;
use crate::agent::objects::directory::of_namespace;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::{Asked, is_unique};
use crate::api::SecurityLabels;
use crate::maps::{Direction, EGRESS_ISOLATED, PolicyKey};

mod identities;
mod in_force;

use in_force::InForce;

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

/// What holds for one identity: its own policies' yes.
#[derive(Debug, Default)]
struct Verdict {
    /// With whom, in both directions.
    pairs: BTreeMap<PolicyKey, Allowed>,
    /// What goes into its endpoints' flags.
    flags: u16,
}

/// What may have changed of the verdicts.
#[derive(Debug, Default)]
pub struct VerdictChanges {
    /// Whose policies, and of which peer.
    pub pairs: BTreeSet<PolicyKey>,
    /// Whose flags.
    pub flags: BTreeSet<u32>,
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
        self.verdicts.get(&pair.ends().0)?.pairs.get(pair)
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
            let mut in_force = InForce::new(policy);
            self.identities.iter().for_each(|(id, labels)| in_force.learn(*id, labels));
            subjects.extend(&in_force.subjects);
            self.policies.insert(name.clone(), in_force);
        }
        self.labels_asked.retain(|_, count| *count > 0);
        self.ports_asked.retain(|_, count| *count > 0);
        subjects.into_iter().for_each(|id| self.judge(id));
    }

    fn ask(&mut self, policy: &Policy, change: impl Fn(&mut usize)) {
        for key in policy.keys().filter(|key| is_unique(key)) {
            change(self.labels_asked.entry(key.into()).or_default());
        }
        for name in policy.port_names() {
            change(self.ports_asked.entry(name.into()).or_default());
        }
    }

    /// The policies that isolate an identity in a direction.
    fn isolating(&self, id: u32, direction: Direction) -> impl Iterator<Item = &InForce> {
        let namespace = self.identities.get(&id).map_or("", |labels| &labels.namespace);
        let policies = of_namespace(&self.policies, namespace).map(|(_, in_force)| in_force);
        policies.filter(move |it| it.subjects.contains(&id) && it.policy.rules(direction).is_some())
    }

    // #region allowed
    /// With whom an identity may talk. Policies only allow: their effect is the union.
    fn side(&self, id: u32, direction: Direction) -> BTreeMap<PolicyKey, Allowed> {
        let key = PolicyKey::new(direction, id, ANYBODY);
        let isolating: Vec<_> = self.isolating(id, direction).collect();
        if isolating.is_empty() {
            // For egress the endpoint's flag says so, and nobody looks here.
            let all = Allowed { ports: PortSet::ALL, blocks: None };
            return BTreeMap::from_iter((direction == Direction::Ingress).then_some((key, all)));
        }
        let anybody = self.anybody(&key, &isolating);
        let mut side = BTreeMap::<_, Allowed>::new();
        if !anybody.ports.is_all() {
            for (peer, rule) in isolating.iter().flat_map(|it| it.pairs(direction)) {
                let pair = PolicyKey::new(direction, id, peer);
                side.entry(pair).or_default().ports.extend(&self.ports(rule, &pair));
            }
            side.retain(|_, allowed| !allowed.ports.is_within(&anybody.ports));
        }
        if anybody != Allowed::default() {
            side.insert(key, anybody);
        }
        side
    }

    /// What is allowed whoever it is, and what by where it is.
    fn anybody(&self, key: &PolicyKey, isolating: &[&InForce]) -> Allowed {
        let (mut ports, mut blocks) = (PortSet::NONE, Vec::new());
        let rules = isolating.iter().filter_map(|it| it.policy.rules(key.direction()));
        for rule in rules.flatten() {
            let its = self.ports(rule, key);
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
    // #endregion allowed

    /// Judges an identity anew, and remembers in what the verdict differs.
    fn judge(&mut self, id: u32) {
        let isolated = self.isolating(id, Direction::Egress).next().is_some();
        let both = Direction::BOTH.into_iter();
        let now = Verdict {
            pairs: both.flat_map(|direction| self.side(id, direction)).collect(),
            flags: if isolated { EGRESS_ISOLATED } else { 0 },
        };
        let before = self.verdicts.remove(&id).unwrap_or_default();
        let pairs = before.pairs.keys().chain(now.pairs.keys());
        let changed = pairs.filter(|pair| before.pairs.get(pair) != now.pairs.get(pair));
        self.changes.pairs.extend(changed);
        if before.flags != now.flags {
            self.changes.flags.insert(id);
        }
        self.verdicts.insert(id, now);
    }
}
