//! What the policies say of identities: the heart of the agent. Verdicts are kept; whatever
//! changes is worked into those that it touches, and into no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::network_policy::Policy;
use crate::agent::objects::directory::of_namespace;
use crate::agent::objects::key::Name;
use crate::agent::owners::identity::is_unique;
use crate::api::SecurityLabels;
use crate::maps::{EGRESS_ISOLATED, PolicyKey};

/// The source in `policy_map` that stands for anybody.
const ANYBODY: u32 = 0;

/// What the policies say of identities.
#[derive(Debug, Default)]
pub struct Verdicts {
    policies: BTreeMap<Name, InForce>,
    /// The identities in use.
    identities: BTreeMap<u32, Arc<SecurityLabels>>,
    /// By destination.
    verdicts: BTreeMap<u32, Verdict>,
    /// How many policies ask about a label that counts for an identity only then.
    asked: BTreeMap<String, usize>,
    changes: VerdictChanges,
}

/// A policy, and the identities that it is about.
#[derive(Debug)]
struct InForce {
    policy: Arc<Policy>,
    subjects: BTreeSet<u32>,
    sources: BTreeSet<u32>,
}

/// What holds for one identity.
#[derive(Debug, Default)]
struct Verdict {
    /// Who may open connections to it.
    sources: BTreeSet<u32>,
    /// What goes into its endpoints' flags.
    flags: u16,
}

/// What may have changed of the verdicts.
#[derive(Debug, Default)]
pub struct VerdictChanges {
    /// Source and destination.
    pub pairs: BTreeSet<PolicyKey>,
    /// Whose flags.
    pub flags: BTreeSet<u32>,
}

impl InForce {
    fn learn(&mut self, id: u32, labels: &SecurityLabels) {
        if self.policy.selects(labels) {
            self.subjects.insert(id);
        }
        if self.policy.allows(labels) {
            self.sources.insert(id);
        }
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

    /// What an identity in use stands for.
    pub fn labels(&self, id: u32) -> Option<&Arc<SecurityLabels>> {
        self.identities.get(&id)
    }

    /// May the first open connections to the second?
    pub fn has(&self, pair: PolicyKey) -> bool {
        self.verdicts
            .get(&pair.dst_id)
            .is_some_and(|verdict| verdict.sources.contains(&pair.src_id))
    }

    /// What goes into the flags of an identity's endpoints.
    pub fn flags(&self, id: u32) -> u16 {
        self.verdicts.get(&id).map_or(0, |verdict| verdict.flags)
    }

    /// Labels that count for an identity only since some policy asks about them.
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.keys().cloned().collect()
    }

    /// A policy is new or another, or (`None`) gone: what it selects or has selected is judged
    /// anew.
    pub fn set_policy(&mut self, name: &Name, policy: Option<Arc<Policy>>) {
        let mut subjects = BTreeSet::new();
        if let Some(before) = self.policies.remove(name) {
            for key in before.policy.keys().filter(|key| is_unique(key)) {
                self.asked.entry(key.into()).and_modify(|count| *count -= 1);
            }
            self.asked.retain(|_, count| *count > 0);
            subjects = before.subjects;
        }
        if let Some(policy) = policy {
            for key in policy.keys().filter(|key| is_unique(key)) {
                *self.asked.entry(key.into()).or_default() += 1;
            }
            let mut in_force =
                InForce { policy, subjects: BTreeSet::new(), sources: BTreeSet::new() };
            self.identities.iter().for_each(|(id, labels)| in_force.learn(*id, labels));
            subjects.extend(&in_force.subjects);
            self.policies.insert(name.clone(), in_force);
        }
        subjects.into_iter().for_each(|id| self.judge(id));
    }

    /// An identity comes into use: it is judged, and goes to where some policy lets it in.
    pub fn add_identity(&mut self, id: u32, labels: Arc<SecurityLabels>) {
        self.policies.values_mut().for_each(|in_force| in_force.learn(id, &labels));
        self.identities.insert(id, labels);
        for destination in self.destinations(id) {
            let Some(verdict) = self.verdicts.get_mut(&destination) else { continue };
            if !verdict.sources.contains(&ANYBODY) && verdict.sources.insert(id) {
                self.changes.pairs.insert(PolicyKey { src_id: id, dst_id: destination });
            }
        }
        self.judge(id);
    }

    /// Nobody has an identity any more.
    pub fn remove_identity(&mut self, id: u32) {
        for destination in self.destinations(id) {
            let Some(verdict) = self.verdicts.get_mut(&destination) else { continue };
            if verdict.sources.remove(&id) {
                self.changes.pairs.insert(PolicyKey { src_id: id, dst_id: destination });
            }
        }
        for in_force in self.policies.values_mut() {
            in_force.subjects.remove(&id);
            in_force.sources.remove(&id);
        }
        self.identities.remove(&id);
        let verdict = self.verdicts.remove(&id).unwrap_or_default();
        let pair = |src_id| PolicyKey { src_id, dst_id: id };
        self.changes.pairs.extend(verdict.sources.into_iter().map(pair));
    }

    /// Where some policy lets an identity in.
    fn destinations(&self, id: u32) -> BTreeSet<u32> {
        let allowing = self.policies.values().filter(|in_force| in_force.policy.ingress);
        let allowing = allowing.filter(|in_force| in_force.sources.contains(&id));
        allowing.flat_map(|in_force| &in_force.subjects).copied().collect()
    }

    /// The policies that select an identity.
    fn selecting(&self, id: u32) -> impl Iterator<Item = &InForce> {
        let namespace = self.identities.get(&id).map_or("", |labels| &labels.namespace);
        let policies = of_namespace(&self.policies, namespace).map(|(_, in_force)| in_force);
        policies.filter(move |in_force| in_force.subjects.contains(&id))
    }

    // #region allowed
    /// Who may open connections to an identity. Policies only allow: their effect is the union.
    fn allowed(&self, id: u32) -> BTreeSet<u32> {
        let isolating: Vec<_> = self.selecting(id).filter(|it| it.policy.ingress).collect();
        if isolating.is_empty() || isolating.iter().any(|it| it.policy.allows_everybody()) {
            return [ANYBODY].into();
        }
        isolating.iter().flat_map(|it| &it.sources).copied().collect()
    }
    // #endregion allowed

    /// Judges an identity anew, and remembers in what the verdict differs.
    fn judge(&mut self, id: u32) {
        let sources = self.allowed(id);
        let isolated = self.selecting(id).any(|in_force| in_force.policy.egress);
        let flags = if isolated { EGRESS_ISOLATED } else { 0 };
        let before = self.verdicts.entry(id).or_default();
        let pair = |src_id: &u32| PolicyKey { src_id: *src_id, dst_id: id };
        self.changes.pairs.extend(before.sources.symmetric_difference(&sources).map(pair));
        if before.flags != flags {
            self.changes.flags.insert(id);
        }
        *before = Verdict { sources, flags };
    }
}
