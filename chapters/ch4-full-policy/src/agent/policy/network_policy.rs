//! NetworkPolicies: which pods does one isolate, and what does it allow them?

use anyhow::{Context as _, Result, anyhow, bail};

use super::rule::{Rule, Said, read_rule};
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
        let mut not_enforced = Vec::new();
        let ingress = spec.ingress.iter().flatten().map(Said::from);
        let ingress = read_rules(ingress, "spec.ingress", &namespace, &mut not_enforced);
        let egress = spec.egress.iter().flatten().map(Said::from);
        let egress = read_rules(egress, "spec.egress", &namespace, &mut not_enforced);
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

    /// What it asks about: labels of pods, and names of ports.
    pub fn asks(&self) -> impl Iterator<Item = Asks<'_>> {
        let rules = || self.ingress.iter().chain(&self.egress).flatten();
        let keys = self.subject.keys().chain(rules().flat_map(Rule::keys)).map(Asks::Label);
        keys.chain(rules().flat_map(|rule| rule.ports.names()).map(Asks::Port))
    }
}

/// Something about pods that may count only because a policy asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks<'a> {
    /// A label's key.
    Label(&'a str),
    /// A port's name.
    Port(&'a str),
}

fn read_rules<'a>(
    said: impl Iterator<Item = Said<'a>>,
    at: &str,
    namespace: &str,
    not_enforced: &mut Vec<String>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, said) in said.enumerate() {
        read_rule(&said, &format!("{at}[{index}]"), namespace, &mut rules, not_enforced);
    }
    rules
}

#[cfg(test)]
mod tests;
