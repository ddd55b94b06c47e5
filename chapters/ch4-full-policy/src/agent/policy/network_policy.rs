//! NetworkPolicies: which pods does one isolate, and what does it allow them?

use anyhow::{Context as _, Result, anyhow, bail};

use super::rule::Rule;
use super::rule::read::Reader;
use super::selector::Selector;
use crate::agent::objects::kinds::NetworkPolicy;
use crate::api::SecurityLabels;
use crate::maps::Direction;

/// A policy as it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its namespace; it isolates pods of this one only.
    pub namespace: String,
    /// Its name.
    pub name: String,
    subject: Selector,
    /// Its pods are isolated for ingress: only what one of these rules describes comes in.
    pub ingress: Option<Vec<Rule>>,
    /// Its pods are isolated for egress: they go only where one of these rules leads.
    pub egress: Option<Vec<Rule>>,
    /// What it says and we do not understand: that grants nothing.
    pub not_enforced: Vec<String>,
}

impl Policy {
    /// Reads a policy, whatever it says.
    pub fn read(policy: &NetworkPolicy) -> Self {
        Self::parse(policy).unwrap_or_else(|error| Self::unreadable(policy, &error))
    }

    /// Reads a policy. What is not understood grants nothing; if it is the pods that it isolates, that
    /// is an error.
    pub fn parse(policy: &NetworkPolicy) -> Result<Self> {
        let spec = policy.spec.0.as_ref().map_err(|error| anyhow!("{error}"))?;
        if let Some(unknown) = spec.unknown.keys().next() {
            bail!("spec: {unknown:?} is not known here");
        }
        let types = spec.policy_types.as_deref().unwrap_or_default();
        for name in types {
            if name != "Ingress" && name != "Egress" {
                bail!("spec.policyTypes: {name:?} is neither Ingress nor Egress");
            }
        }
        let has = |name: &str| types.iter().any(|known| known == name);
        let namespace = policy.metadata.namespace.clone().unwrap_or_default();
        let mut reader = Reader { namespace: &namespace, not_enforced: Vec::new() };
        let (mut ingress, mut egress) = (Vec::new(), Vec::new());
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            let at = format!("spec.ingress[{index}]");
            ingress.extend(reader.read(&at, "from", &rule.from, &rule.ports, &rule.unknown));
        }
        for (index, rule) in spec.egress.iter().flatten().enumerate() {
            let at = format!("spec.egress[{index}]");
            egress.extend(reader.read(&at, "to", &rule.to, &rule.ports, &rule.unknown));
        }
        let not_enforced = reader.not_enforced;
        // The API server writes the defaults into policyTypes; a manifest may not have seen one.
        let has_egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let isolates_egress = has("Egress") || (types.is_empty() && has_egress);
        Ok(Self {
            namespace,
            name: policy.metadata.name.clone().unwrap_or_default(),
            subject: Selector::parse_or_all(spec.pod_selector.as_ref())
                .context("spec.podSelector")?,
            ingress: (has("Ingress") || types.is_empty()).then_some(ingress),
            egress: isolates_egress.then_some(egress),
            not_enforced,
        })
    }

    /// What an unreadable policy is taken for: nobody of its namespace talks to anybody. To pass
    /// over it would let through what it may have meant to deny.
    pub fn unreadable(policy: &NetworkPolicy, error: &anyhow::Error) -> Self {
        Self {
            namespace: policy.metadata.namespace.clone().unwrap_or_default(),
            name: policy.metadata.name.clone().unwrap_or_default(),
            subject: Selector::EVERYTHING,
            ingress: Some(Vec::new()),
            egress: Some(Vec::new()),
            not_enforced: vec![format!("all of it: {error:#}")],
        }
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What of it is not enforced, for the status.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let say = |what| format!("policy {} is not enforced: {what}", self.full_name());
        self.not_enforced.iter().map(say)
    }

    // #region policy
    /// Is it about pods with these labels?
    pub fn selects(&self, pod: &SecurityLabels) -> bool {
        self.namespace == pod.namespace && self.subject.matches(&pod.labels)
    }

    /// Its rules for a direction; `None`: it does not isolate its pods there.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Egress => self.egress.as_deref(),
            Direction::Ingress => self.ingress.as_deref(),
        }
    }
    // #endregion policy

    /// The labels of pods that it asks about.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.subject.keys().chain(self.all_rules().flat_map(Rule::keys))
    }

    /// The names of ports that it asks about.
    pub fn port_names(&self) -> impl Iterator<Item = &str> {
        self.all_rules().flat_map(|rule| rule.ports.names())
    }

    fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.ingress.iter().chain(&self.egress).flatten()
    }
}

#[cfg(test)]
mod tests;
