//! What NetworkPolicies say, and what follows for identities.

pub mod network_policy;
pub mod rule;
pub mod selector;

pub mod blocks;
pub mod ports;
pub mod rule_ports;

pub mod verdicts;
