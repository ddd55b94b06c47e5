//! Identities that come into use, and that nobody has any more.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ANYBODY, Allowed, Verdicts};
use crate::agent::policy::ports::PortSet;
use crate::agent::policy::rule::Rule;
use crate::api::{NamedPort, SecurityLabels};
use crate::maps::PolicyKey;

impl Verdicts {
    /// What an identity in use stands for.
    pub fn labels(&self, id: u32) -> Option<&Arc<SecurityLabels>> {
        self.identities.get(&id)
    }

    /// By which ports a rule allows a pair that it describes. Names of ports are the destination's:
    /// of anybody, and of what is no pod, nobody knows them.
    pub(super) fn ports<'a>(&self, rule: &'a Rule, pair: &PolicyKey) -> Cow<'a, PortSet> {
        static NO_NAMES: BTreeSet<NamedPort> = BTreeSet::new();
        rule.ports.resolve(self.labels(pair.dst_id).map_or(&NO_NAMES, |labels| &labels.ports))
    }

    /// An identity comes into use: it is judged, and goes to where some policy is about it.
    pub fn add_identity(&mut self, id: u32, labels: Arc<SecurityLabels>) {
        self.policies.values_mut().for_each(|in_force| in_force.learn(id, &labels));
        self.identities.insert(id, labels);
        for (pair, ports) in self.pairs_about(id) {
            let (subject, _) = pair.ends();
            let Some(verdict) = self.verdicts.get_mut(&subject) else { continue };
            let anybody = PolicyKey::new(pair.direction(), subject, ANYBODY);
            let is_known = |it: &Allowed| ports.is_within(&it.ports);
            if !ports.is_empty() && !verdict.pairs.get(&anybody).is_some_and(is_known) {
                verdict.pairs.insert(pair, Allowed { ports, blocks: None });
                self.changes.pairs.insert(pair);
            }
        }
        self.judge(id);
    }

    /// Nobody has an identity any more.
    pub fn remove_identity(&mut self, id: u32) {
        for pair in self.pairs_about(id).into_keys() {
            let verdict = self.verdicts.get_mut(&pair.ends().0);
            if verdict.is_some_and(|verdict| verdict.pairs.remove(&pair).is_some()) {
                self.changes.pairs.insert(pair);
            }
        }
        self.policies.values_mut().for_each(|in_force| in_force.forget(id));
        self.identities.remove(&id);
        let verdict = self.verdicts.remove(&id).unwrap_or_default();
        self.changes.pairs.extend(verdict.pairs.into_keys());
    }

    /// Whose policies describe an identity as their peer, and by which ports they allow it.
    fn pairs_about(&self, id: u32) -> BTreeMap<PolicyKey, PortSet> {
        let mut pairs = BTreeMap::<_, PortSet>::new();
        for in_force in self.policies.values() {
            for (direction, rule) in in_force.about(id) {
                for subject in &in_force.subjects {
                    let pair = PolicyKey::new(direction, *subject, id);
                    pairs.entry(pair).or_default().extend(&self.ports(rule, &pair));
                }
            }
        }
        pairs
    }
}
