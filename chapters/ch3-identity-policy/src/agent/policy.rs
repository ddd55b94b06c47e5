//! NetworkPolicies: whom does one isolate, and whom does it let in?

use anyhow::{Context as _, Result, bail};

use super::objects::{IngressRule, LabelSelector, NetworkPolicy, Peer};
use super::selector::Selector;
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
    rules: Vec<Rule>,
    /// What it says and this chapter does not enforce: that grants nothing.
    pub not_enforced: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Everybody,
    Pods { namespaces: Namespaces, pods: Selector },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Namespaces {
    /// The policy's own.
    Own,
    Selected(Selector),
}

impl Policy {
    /// Reads a policy. What is not understood grants nothing; if that is whom it isolates, it is
    /// an error.
    pub fn parse(policy: &NetworkPolicy) -> Result<Self> {
        let spec = &policy.spec;
        let types = spec.policy_types.as_deref().unwrap_or_default();
        for name in types {
            if name != "Ingress" && name != "Egress" {
                bail!("spec.policyTypes: {name:?} is neither Ingress nor Egress");
            }
        }
        let has = |name: &str| types.iter().any(|it| it == name);
        let egress_rules = spec.egress.as_ref().map_or(0, Vec::len);
        let mut not_enforced = Vec::new();
        let mut rules = Vec::new();
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            read_rule(rule, &format!("spec.ingress[{index}]"), &mut rules, &mut not_enforced);
        }
        // The API server writes the defaults into policyTypes; a manifest may not have seen one.
        let egress = has("Egress") || (types.is_empty() && egress_rules > 0);
        if egress && egress_rules > 0 {
            not_enforced.push("spec.egress: its pods open no connections at all".into());
        }
        Ok(Self {
            namespace: policy.metadata.namespace.clone().unwrap_or_default(),
            name: policy.metadata.name.clone().unwrap_or_default(),
            subject: selector(spec.pod_selector.as_ref()).context("spec.podSelector")?,
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

    // #region policy
    /// Does it isolate pods with these labels, in the directions it is for?
    pub fn selects(&self, pod: &SecurityLabels) -> bool {
        self.namespace == pod.namespace && self.subject.matches(&pod.labels)
    }

    /// Does it let everybody in, pod or not?
    pub fn allows_everybody(&self) -> bool {
        self.rules.contains(&Rule::Everybody)
    }

    /// Does it let pods with these labels in? An endpoint without a namespace is no pod.
    pub fn allows(&self, source: &SecurityLabels) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Everybody => true,
            Rule::Pods { namespaces, pods } => {
                let in_namespace = match namespaces {
                    Namespaces::Own => source.namespace == self.namespace,
                    Namespaces::Selected(selector) => selector.matches(&source.namespace_labels),
                };
                !source.namespace.is_empty() && in_namespace && pods.matches(&source.labels)
            }
        })
    }
    // #endregion policy

    /// The labels of pods that it asks about.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let peers = self.rules.iter().filter_map(|rule| match rule {
            Rule::Everybody => None,
            Rule::Pods { pods, .. } => Some(pods.keys()),
        });
        self.subject.keys().chain(peers.flatten())
    }
}

/// Reads one rule: what cannot be enforced is left out, so it grants nothing.
fn read_rule(rule: &IngressRule, at: &str, rules: &mut Vec<Rule>, not_enforced: &mut Vec<String>) {
    let mut leave_out = |what: String| not_enforced.push(format!("{at}{what}"));
    if let Some(unknown) = rule.unknown.keys().next() {
        return leave_out(format!(": {unknown:?} is not known here"));
    }
    if rule.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return leave_out(".ports: a rule with ports grants nothing in this chapter".into());
    }
    let peers = rule.from.as_deref().unwrap_or_default();
    if peers.is_empty() {
        rules.push(Rule::Everybody);
    }
    for (index, peer) in peers.iter().enumerate() {
        match read_peer(peer) {
            Ok(rule) => rules.push(rule),
            Err(error) => leave_out(format!(".from[{index}]{error:#}")),
        }
    }
}

fn read_peer(peer: &Peer) -> Result<Rule> {
    if let Some(unknown) = peer.unknown.keys().next() {
        bail!(": {unknown:?} is not known here");
    }
    if peer.ip_block.is_some() {
        bail!(".ipBlock: grants nothing in this chapter");
    }
    // Both absent: a peer of which nothing is understood is nobody, not everybody.
    let (pods, namespaces) = (&peer.pod_selector, &peer.namespace_selector);
    if pods.is_none() && namespaces.is_none() {
        bail!(": says nothing");
    }
    let namespaces = match namespaces {
        None => Namespaces::Own,
        some => Namespaces::Selected(selector(some.as_ref()).context(".namespaceSelector")?),
    };
    Ok(Rule::Pods { namespaces, pods: selector(pods.as_ref()).context(".podSelector")? })
}

fn selector(selector: Option<&LabelSelector>) -> Result<Selector> {
    selector.map_or(Ok(Selector::EVERYTHING), Selector::parse)
}
