//! Why may, or may not, one talk to another? In the policies' own words.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::agent::owners::identity::{HOST, WORLD};
use crate::agent::policy::network_policy::Policy;
use crate::api::SecurityLabels;

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// A pod as `namespace/name`, or an address.
    pub name: String,
    /// Its identity.
    pub identity: u32,
    /// What the identity stands for; none for the host and the world.
    pub labels: Option<SecurityLabels>,
}

/// What the policies say of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// May it be?
    pub allowed: bool,
    /// In a sentence.
    pub why: String,
    /// The policies that isolate the destination, or the source if it may not ask at all.
    pub isolated_by: Vec<String>,
    /// The rules that allow it: policy and place.
    pub allowed_by: Vec<String>,
    /// The rule that comes next to allowing it, and what it lacks.
    pub nearest_miss: Option<String>,
}

/// Answers from the policies alone; the maps may not have caught up.
pub fn explain(policies: &[Arc<Policy>], source: &FlowEnd, destination: &FlowEnd) -> Explanation {
    let allow = |why: &str| Explanation { allowed: true, why: why.into(), ..Default::default() };
    if source.identity == HOST {
        return allow("the node always reaches its own pods");
    }
    if source == destination {
        return allow("a pod always reaches itself");
    }
    let selecting = |end: &FlowEnd| {
        let labels = end.labels.clone();
        let selects = move |policy: &&Policy| labels.as_ref().is_some_and(|it| policy.selects(it));
        policies.iter().map(|policy| &**policy).filter(selects)
    };
    let egress: Vec<_> = selecting(source).filter(|policy| policy.egress).collect();
    if !egress.is_empty() {
        return Explanation {
            why: format!("{} is isolated for egress, and opens no connections", source.name),
            isolated_by: names(&egress),
            ..Default::default()
        };
    }
    if destination.identity == HOST || destination.identity == WORLD {
        return allow("nothing isolates what is no pod");
    }
    let ingress: Vec<_> = selecting(destination).filter(|policy| policy.ingress).collect();
    if ingress.is_empty() {
        return allow(&format!("no policy isolates {} for ingress", destination.name));
    }
    explain_ingress(&ingress, source, destination)
}

/// The destination is isolated by these policies: does a rule of theirs let the source in?
fn explain_ingress(isolating: &[&Policy], source: &FlowEnd, destination: &FlowEnd) -> Explanation {
    let nobody = SecurityLabels::default();
    let labels = source.labels.as_ref().unwrap_or(&nobody);
    let rules =
        || isolating.iter().flat_map(|policy| policy.rules.iter().map(move |rule| (*policy, rule)));
    let place = |policy: &Policy, at: &str| format!("{} {at}", policy.full_name());
    let allowing = rules().filter(|(_, rule)| rule.describes(labels));
    let allowed_by: Vec<_> = allowing.map(|(policy, rule)| place(policy, &rule.at)).collect();
    let isolated_by = names(isolating);
    if !allowed_by.is_empty() {
        let why = format!("{} allows it", allowed_by[0]);
        return Explanation { allowed: true, why, isolated_by, allowed_by, nearest_miss: None };
    }
    let misses = rules().map(|(policy, rule)| (rule.unmet(labels), place(policy, &rule.at)));
    let nearest = misses.min_by_key(|(unmet, _)| unmet.len());
    let nearest = nearest.map(|(unmet, place)| format!("{place}: {}", unmet.join("; ")));
    // A rule that is not enforced may be what its author hoped for.
    let left_out = || {
        let mut left_out = isolating
            .iter()
            .filter_map(|policy| policy.not_enforced.first().map(|what| place(policy, what)));
        left_out.next()
    };
    Explanation {
        allowed: false,
        why: format!(
            "{} is isolated for ingress, and no rule lets {} in",
            destination.name, source.name
        ),
        isolated_by,
        allowed_by,
        nearest_miss: nearest.or_else(left_out),
    }
}

fn names(policies: &[&Policy]) -> Vec<String> {
    policies.iter().map(|policy| policy.full_name()).collect()
}

#[cfg(test)]
mod tests;
