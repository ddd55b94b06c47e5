//! Identities that come into use, and that nobody has any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use super::{ANYBODY, Allowed, Verdicts};
use crate::agent::policy::ports::PortSet;
use crate::api::{NamedPort, SecurityLabels};
use crate::maps::{Direction, PolicyKey};

static NO_NAMES: LazyLock<BTreeSet<NamedPort>> = LazyLock::new(BTreeSet::new);

impl Verdicts {
    /// What an identity in use stands for.
    pub fn labels(&self, id: u32) -> Option<&Arc<SecurityLabels>> {
        self.identities.get(&id)
    }

    /// What an identity calls its ports.
    pub(super) fn named_ports(&self, id: u32) -> &BTreeSet<NamedPort> {
        self.identities.get(&id).map_or(&NO_NAMES, |labels| &labels.ports)
    }

    /// An identity comes into use: it is judged, and goes to where some policy is about it.
    pub fn add_identity(&mut self, id: u32, labels: Arc<SecurityLabels>) {
        self.policies.values_mut().for_each(|in_force| in_force.learn(id, &labels));
        self.identities.insert(id, labels);
        for ((direction, subject), ports) in self.pairs_about(id) {
            let Some(verdict) = self.verdicts.get_mut(&subject) else { continue };
            let side = &mut verdict.sides[direction as usize];
            let anybody = side.get(&ANYBODY).is_some_and(|it| ports.is_within(&it.ports));
            if !anybody && !ports.is_empty() {
                side.insert(id, Allowed { ports, blocks: None });
                self.changes.pairs.insert(PolicyKey::new(direction, subject, id));
            }
        }
        self.judge(id);
    }

    /// Nobody has an identity any more.
    pub fn remove_identity(&mut self, id: u32) {
        for (direction, subject) in self.pairs_about(id).into_keys() {
            let Some(verdict) = self.verdicts.get_mut(&subject) else { continue };
            if verdict.sides[direction as usize].remove(&id).is_some() {
                self.changes.pairs.insert(PolicyKey::new(direction, subject, id));
            }
        }
        for in_force in self.policies.values_mut() {
            in_force.subjects.remove(&id);
            in_force.peers.iter_mut().for_each(|peers| drop(peers.remove(&id)));
        }
        self.identities.remove(&id);
        let verdict = self.verdicts.remove(&id).unwrap_or_default();
        for (direction, side) in Direction::BOTH.into_iter().zip(verdict.sides) {
            let pairs = side.into_keys().map(|peer| PolicyKey::new(direction, id, peer));
            self.changes.pairs.extend(pairs);
        }
    }

    /// Whose policies describe an identity as their peer, and by which ports they allow it.
    fn pairs_about(&self, id: u32) -> BTreeMap<(Direction, u32), PortSet> {
        let mut pairs: BTreeMap<_, PortSet> = BTreeMap::new();
        for (direction, in_force) in Direction::BOTH
            .into_iter()
            .flat_map(|direction| self.policies.values().map(move |it| (direction, it)))
        {
            for rule in in_force.about(direction, id) {
                for subject in &in_force.subjects {
                    let ports = self.ports(rule, direction, *subject, id);
                    pairs.entry((direction, *subject)).or_default().extend(&ports);
                }
            }
        }
        pairs
    }
}
