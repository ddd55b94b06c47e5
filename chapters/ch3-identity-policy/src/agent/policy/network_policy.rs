//! NetworkPolicies: which pods does one isolate, and which does it let in?

use anyhow::{Context as _, Result, anyhow, bail};

use super::rule::{Rule, read_rule};
use super::selector::Selector;
use crate::agent::objects::kinds::NetworkPolicy;
use crate::api::SecurityLabels;

/// A policy as it is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its namespace; it isolates pods of this one only.
    pub namespace: String,
    /// Its name.
    pub name: String,
    subject: Selector,
    /// Its pods are isolated for ingress.
    pub ingress: bool,
    /// Its pods are isolated for egress.
    pub egress: bool,
    /// It lets in what one of these describes.
    pub rules: Vec<Rule>,
    /// What it says and this chapter does not enforce: that grants nothing.
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
        let egress_rules = spec.egress.as_ref().map_or(0, Vec::len);
        let namespace = policy.metadata.namespace.clone().unwrap_or_default();
        let mut not_enforced = Vec::new();
        let mut rules = Vec::new();
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            let at = format!("spec.ingress[{index}]");
            read_rule(rule, &at, &namespace, &mut rules, &mut not_enforced);
        }
        // The API server writes the defaults into policyTypes; a manifest may not have seen one.
        let egress = has("Egress") || (types.is_empty() && egress_rules > 0);
        if egress && egress_rules > 0 {
            not_enforced.push("spec.egress: its pods open no connections at all".into());
        }
        Ok(Self {
            namespace,
            name: policy.metadata.name.clone().unwrap_or_default(),
            subject: Selector::parse_or_all(spec.pod_selector.as_ref())
                .context("spec.podSelector")?,
            ingress: has("Ingress") || types.is_empty(),
            egress,
            rules,
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
            ingress: true,
            egress: true,
            rules: Vec::new(),
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
    /// Does it isolate pods with these labels, in the directions it is for?
    pub fn selects(&self, pod: &SecurityLabels) -> bool {
        self.namespace == pod.namespace && self.subject.matches(&pod.labels)
    }

    /// Does it let everybody in, pod or not?
    pub fn allows_everybody(&self) -> bool {
        self.rules.iter().any(Rule::is_everybody)
    }

    /// Does it let pods with these labels in?
    pub fn allows(&self, source: &SecurityLabels) -> bool {
        self.rules.iter().any(|rule| rule.describes(source))
    }
    // #endregion policy

    /// The labels of pods that it asks about.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.subject.keys().chain(self.rules.iter().flat_map(Rule::keys))
    }
}

#[cfg(test)]
mod tests;
