//! The status of endpoints and identities: found out when somebody asks, from a copy of the view,
//! since with many policies it takes its time.

use crate::agent::objects::directory::of_namespace;
use crate::agent::policy::network_policy::Policy;
use crate::agent::policy::rule::Rule;
use crate::agent::reconcile::view::{EndpointView, IdentityView, View};
use crate::api::{EndpointStatus, IdentityStatus, RuleStatus, SecurityLabels};
use crate::maps::Direction;

impl View {
    /// One endpoint, by its link.
    pub fn endpoint(&self, link: &str) -> Option<EndpointStatus> {
        self.status(self.endpoints.get(link)?)
    }

    /// All endpoints, by number.
    pub fn endpoint_list(&self) -> Vec<EndpointStatus> {
        let endpoints = self.endpoints.values();
        let mut all: Vec<_> = endpoints.filter_map(|endpoint| self.status(endpoint)).collect();
        all.sort_by_key(|status| status.id);
        all
    }

    /// All identities, by number.
    pub fn identity_list(&self) -> Vec<IdentityStatus> {
        let status = |(id, identity): (&u32, &IdentityView)| IdentityStatus {
            id: *id,
            labels: (*identity.labels).clone(),
            in_use: identity.in_use,
        };
        self.identities.iter().map(status).collect()
    }

    fn status(&self, endpoint: &EndpointView) -> Option<EndpointStatus> {
        let EndpointView { local, identity } = endpoint;
        let labels = &self.identities.get(identity)?.labels;
        let names = |direction| {
            let policies = self.selecting(labels);
            let isolating = policies.filter(|policy| policy.rules(direction).is_some());
            isolating.map(Policy::full_name).collect()
        };
        Some(EndpointStatus {
            id: local.id,
            link: local.link.clone(),
            new: local.new.clone(),
            identity: *identity,
            labels: (**labels).clone(),
            ingress: names(Direction::Ingress),
            egress: names(Direction::Egress),
            rules: self.rules(labels),
            fault: self.unprotected.get(&*local.link).cloned(),
        })
    }

    /// The policies that select such pods.
    fn selecting(&self, labels: &SecurityLabels) -> impl Iterator<Item = &Policy> {
        let policies = of_namespace(&self.policies, &labels.namespace).map(|(_, policy)| &**policy);
        policies.filter(|policy| policy.selects(labels))
    }

    /// The rules that allow such pods something.
    fn rules(&self, labels: &SecurityLabels) -> Vec<RuleStatus> {
        let mut all = Vec::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            for policy in self.selecting(labels) {
                let rules = policy.rules(direction).unwrap_or_default();
                all.extend(rules.iter().map(|rule| RuleStatus {
                    policy: policy.full_name(),
                    at: rule.at.clone(),
                    direction: direction.as_str().into(),
                    peers: rule.to_string(),
                    ports: rule.ports.to_string(),
                    is_selector: rule.is_selector(),
                    identities: self.described_by(rule),
                }));
            }
        }
        all
    }

    fn described_by(&self, rule: &Rule) -> Vec<u32> {
        let in_use = self.identities.iter().filter(|(_, identity)| identity.in_use);
        let described = in_use.filter(|(_, identity)| rule.describes(&identity.labels));
        described.map(|(id, _)| *id).collect()
    }
}
