//! Which keys of the maps may have to be written.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::maps::PolicyKey;

/// Keys of `endpoint_map` and `policy_map`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of `endpoint_map`.
    pub endpoints: BTreeSet<Ipv4Addr>,
    /// Of `policy_map`.
    pub policy: BTreeSet<PolicyKey>,
}

impl Changes {
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.policy.is_empty()
    }

    /// Takes in others.
    pub fn extend(&mut self, others: Self) {
        self.endpoints.extend(others.endpoints);
        self.policy.extend(others.policy);
    }

    /// Have both some key?
    pub fn meets(&self, others: &Self) -> bool {
        !self.endpoints.is_disjoint(&others.endpoints) || !self.policy.is_disjoint(&others.policy)
    }
}
