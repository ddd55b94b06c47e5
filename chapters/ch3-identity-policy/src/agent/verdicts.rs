//! What the policies say of identities: the heart of the agent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::local::LocalEndpoint;
use super::policy::Policy;
use super::rule::Rule;
use crate::api::{EndpointStatus, RuleStatus, SecurityLabels};
use crate::maps::{EGRESS_ISOLATED, PolicyKey};

/// What the policies say of identities.
#[derive(Debug)]
pub struct Verdicts<'a> {
    used: &'a BTreeMap<u32, SecurityLabels>,
    by_namespace: HashMap<&'a str, Vec<(&'a Policy, Vec<u32>)>>,
}

impl<'a> Verdicts<'a> {
    /// Finds out once for each policy whom it lets in.
    pub fn new(policies: &'a [Policy], used: &'a BTreeMap<u32, SecurityLabels>) -> Self {
        let mut by_namespace: HashMap<_, Vec<_>> = HashMap::new();
        for policy in policies {
            let sources = used.iter().filter(|(_, labels)| policy.allows(labels));
            let sources = sources.map(|(id, _)| *id).collect();
            by_namespace.entry(policy.namespace.as_str()).or_default().push((policy, sources));
        }
        Self { used, by_namespace }
    }

    /// The policies that select such pods, and whom each lets in.
    fn selecting(&self, labels: &SecurityLabels) -> impl Iterator<Item = &(&'a Policy, Vec<u32>)> {
        let policies = self.by_namespace.get(labels.namespace.as_str());
        policies.into_iter().flatten().filter(move |(policy, _)| policy.selects(labels))
    }

    // #region allowed
    /// Who may open connections to whom. Policies only allow: their effect is the union.
    pub fn allowed(&self) -> BTreeSet<PolicyKey> {
        let mut keys = BTreeSet::new();
        for (&dst_id, labels) in self.used {
            let isolating: Vec<_> = self.selecting(labels).filter(|it| it.0.ingress).collect();
            if isolating.is_empty() || isolating.iter().any(|it| it.0.allows_everybody()) {
                keys.insert(PolicyKey { src_id: 0, dst_id });
                continue;
            }
            let sources = isolating.iter().flat_map(|(_, sources)| sources);
            keys.extend(sources.map(|&src_id| PolicyKey { src_id, dst_id }));
        }
        keys
    }
    // #endregion allowed

    /// What goes into an endpoint's flags.
    pub fn flags(&self, labels: &SecurityLabels) -> u16 {
        let isolated = self.selecting(labels).any(|it| it.0.egress);
        if isolated { EGRESS_ISOLATED } else { 0 }
    }

    /// What is told of an endpoint.
    pub fn status(
        &self,
        endpoint: &LocalEndpoint,
        identity: u32,
        labels: &SecurityLabels,
    ) -> EndpointStatus {
        let names = |which: fn(&Policy) -> bool| {
            let policies = self.selecting(labels).filter(|it| which(it.0));
            policies.map(|it| it.0.full_name()).collect()
        };
        EndpointStatus {
            id: endpoint.id,
            link: endpoint.link.clone(),
            new: endpoint.new.clone(),
            identity,
            labels: labels.clone(),
            ingress: names(|policy| policy.ingress),
            egress: names(|policy| policy.egress),
            rules: self.rules(labels),
        }
    }

    /// The rules that let somebody in to such pods.
    fn rules(&self, labels: &SecurityLabels) -> Vec<RuleStatus> {
        let isolating = self.selecting(labels).filter(|it| it.0.ingress);
        let rules =
            isolating.flat_map(|(policy, _)| policy.rules.iter().map(move |it| (policy, it)));
        let status = |(policy, rule): (&&Policy, &Rule)| RuleStatus {
            policy: policy.full_name(),
            at: rule.at.clone(),
            lets_in: rule.to_string(),
            identities: self
                .used
                .iter()
                .filter(|it| rule.describes(it.1))
                .map(|it| *it.0)
                .collect(),
        };
        rules.map(status).collect()
    }
}
