//! `ebpf-agent`: keeps the maps true.
//!
//! The folders stand in the order in which data flows, and so do the modules in each: Kubernetes'
//! objects come from a source, labels and addresses become owners with identities, policies judge
//! identities, and what differs from all this in the kernel is written. Around it: what is served
//! to the plugin and to people, and the command line.

pub mod objects;
pub mod owners;
pub mod policy;
pub mod reconcile;
pub mod serve;
pub mod show;

pub mod files;
pub mod run;
