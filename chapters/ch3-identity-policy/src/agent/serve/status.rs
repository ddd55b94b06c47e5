//! What is told of endpoints and identities: found out when somebody asks, from a copy of the
//! view, since with many policies it takes its time.

use crate::agent::objects::directory::of_namespace;
use crate::agent::owners::local::LocalEndpoint;
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::rule::Rule;
use crate::agent::reconcile::view::View;
use crate::api::{EndpointStatus, IdentityStatus, RuleStatus, SecurityLabels};

impl View {
    /// One endpoint, by its link.
    pub fn endpoint(&self, link: &str) -> Option<EndpointStatus> {
        let (endpoint, identity) = self.endpoints.get(link)?;
        self.status(endpoint, *identity)
    }

    /// All endpoints, by number.
    pub fn endpoint_list(&self) -> Vec<EndpointStatus> {
        let all = self.endpoints.values();
        let mut all: Vec<_> = all.filter_map(|(it, identity)| self.status(it, *identity)).collect();
        all.sort_by_key(|it| it.id);
        all
    }

    /// All identities, by number.
    pub fn identity_list(&self) -> Vec<IdentityStatus> {
        let all = self.identities.iter();
        all.map(|(id, (labels, in_use))| IdentityStatus {
            id: *id,
            labels: (**labels).clone(),
            in_use: *in_use,
        })
        .collect()
    }

    fn status(&self, endpoint: &LocalEndpoint, identity: u32) -> Option<EndpointStatus> {
        let (labels, _) = self.identities.get(&identity)?;
        let names = |which: fn(&Policy) -> bool| {
            let policies = self.selecting(labels).filter(|it| which(it));
            policies.map(Policy::full_name).collect()
        };
        Some(EndpointStatus {
            id: endpoint.id,
            link: endpoint.link.clone(),
            new: endpoint.new.clone(),
            identity,
            labels: (**labels).clone(),
            ingress: names(|policy| policy.ingress),
            egress: names(|policy| policy.egress),
            rules: self.rules(labels),
            fault: self.unprotected.get(&*endpoint.link).cloned(),
        })
    }

    /// The policies that select such pods.
    fn selecting(&self, labels: &SecurityLabels) -> impl Iterator<Item = &Policy> {
        let policies = of_namespace(&self.policies, &labels.namespace).map(|(_, it)| &**it);
        policies.filter(|it| it.selects(labels))
    }

    /// The rules that let somebody in to such pods.
    fn rules(&self, labels: &SecurityLabels) -> Vec<RuleStatus> {
        let isolating = self.selecting(labels).filter(|it| it.ingress);
        let rules = isolating.flat_map(|policy| policy.rules.iter().map(move |it| (policy, it)));
        let in_use = || self.identities.iter().filter(|(_, it)| it.1);
        let status = |(policy, rule): (&Policy, &Rule)| RuleStatus {
            policy: policy.full_name(),
            at: rule.at.clone(),
            lets_in: rule.to_string(),
            identities: in_use().filter(|it| rule.describes(&it.1.0)).map(|it| *it.0).collect(),
        };
        rules.map(status).collect()
    }
}
