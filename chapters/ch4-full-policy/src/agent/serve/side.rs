//! One end's part in a verdict: what do its policies say of the other end?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::explain::{FlowEnd, Wish};
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::ports::{PortSet, Range, protocol_name};
use crate::agent::policy::rule::Rule;
use crate::api::{NamedPort, SecurityLabels};
use crate::maps::Direction;

/// What the policies of one end say, which is isolated.
#[derive(Debug)]
pub struct Side {
    /// By which ports they allow it; of a wish only this one, or none.
    pub ports: PortSet,
    /// Which policies isolate it.
    pub isolated_by: Vec<String>,
    /// Which rules allow it.
    pub allowed_by: Vec<String>,
    /// Which rule comes next, and what it lacks.
    pub nearest_miss: Option<String>,
}

/// `None`: it is not isolated.
pub fn side(
    policies: &[Arc<Policy>],
    source: &FlowEnd,
    destination: &FlowEnd,
    wish: Option<Wish>,
    direction: Direction,
) -> Option<Side> {
    let (subject, peer) = match direction {
        Direction::Egress => (source, destination),
        Direction::Ingress => (destination, source),
    };
    let labels = subject.labels.as_ref()?;
    let selecting = policies.iter().filter(|policy| policy.selects(labels));
    let isolating: Vec<_> =
        selecting.filter_map(|policy| Some((&**policy, policy.rules(direction)?))).collect();
    if isolating.is_empty() {
        return None;
    }
    let asked = Question { destination, peer, wish, direction };
    let mut ports = PortSet::default();
    let (mut allowed_by, mut misses) = (Vec::new(), Vec::new());
    for (policy, rule) in
        isolating.iter().flat_map(|(policy, rules)| rules.iter().map(move |rule| (policy, rule)))
    {
        let place = format!("{} {}", policy.full_name(), rule.at);
        let unmet = asked.unmet(rule);
        if unmet.is_empty() {
            ports.extend(&asked.ports(rule));
            allowed_by.push(place);
        } else {
            // A selector never comes near to what is no pod.
            let is_far = peer.labels.is_none() && rule.is_selector();
            misses.push(((is_far, unmet.len()), format!("{place}: {}", unmet.join("; "))));
        }
    }
    let nearest = misses.into_iter().min_by_key(|(distance, _)| *distance).map(|(_, miss)| miss);
    // A rule that is not enforced may be what its author hoped for.
    let left_out = || {
        isolating.iter().find_map(|(policy, _)| {
            let what = policy.not_enforced.first()?;
            Some(format!("{} {what}", policy.full_name()))
        })
    };
    let isolated_by = isolating.iter().map(|(policy, _)| policy.full_name()).collect();
    Some(Side { ports, isolated_by, allowed_by, nearest_miss: nearest.or_else(left_out) })
}

struct Question<'a> {
    destination: &'a FlowEnd,
    peer: &'a FlowEnd,
    wish: Option<Wish>,
    direction: Direction,
}

impl Question<'_> {
    /// By which ports does a rule allow it, if it is for this peer?
    fn ports(&self, rule: &Rule) -> PortSet {
        let none = BTreeSet::<NamedPort>::new();
        let named = self.destination.labels.as_ref().map_or(&none, |labels| &labels.ports);
        // In egress, what is chosen by its address has no names.
        let by_address = self.direction == Direction::Egress && rule.block().is_some();
        let ports = if by_address { rule.ports.numbers() } else { &*rule.ports.resolve(named) };
        match self.wish {
            Some(wish) if !ports.has(wish.port.map(|port| (wish.protocol, port))) => {
                PortSet::default()
            }
            _ => ports.clone(),
        }
    }

    /// What keeps a rule from allowing it, each part in words.
    fn unmet(&self, rule: &Rule) -> Vec<String> {
        let nobody = SecurityLabels::default();
        let labels = self.peer.labels.as_ref().unwrap_or(&nobody);
        let mut unmet = rule.unmet(labels, self.peer.address);
        if self.ports(rule).is_empty() {
            unmet.push(match self.wish {
                Some(wish) => unmet_port(rule, wish),
                None => format!("nobody here has a port {}", rule.ports),
            });
        }
        unmet
    }
}

fn unmet_port(rule: &Rule, wish: Wish) -> String {
    let Some(port) = wish.port else {
        return format!("its port must be {}, and ICMP and its like have none", rule.ports);
    };
    let asked = Range { proto: wish.protocol, first: port, last: port };
    let by_tcp = rule.ports.assumed().has(Some((wish.protocol, port)));
    let means = if by_tcp {
        format!(
            " (the rule means TCP, since it says no protocol; add {})",
            protocol_name(wish.protocol).unwrap_or("?")
        )
    } else {
        String::new()
    };
    format!("its port must be {}, and is {asked}{means}", rule.ports)
}
