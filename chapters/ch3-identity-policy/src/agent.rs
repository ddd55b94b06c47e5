//! `ebpf-agent`: keeps the maps true.
//!
//! The modules stand in the order in which data flows: Kubernetes' objects come from a source,
//! policies are read from them, labels become identities, both become the wanted maps, and what
//! differs is written to the kernel.

pub mod api_server;
pub mod json;
pub mod manifest;
pub mod manifests;
pub mod objects;
pub mod selector;
pub mod spec;
pub mod stores;

pub mod claimant;
pub mod claims;
pub mod directory;
pub mod files;
pub mod identity;
pub mod local;
pub mod owners;
pub mod policy;
pub mod rule;
pub mod verdicts;
pub mod wanted;

pub mod changes;
pub mod datapath;
pub mod engine;
pub mod filters;
pub mod grace;
pub mod waiting;

pub mod events;
pub mod listener;
pub mod monitor;
pub mod run;
pub mod server;

pub mod explain;
pub mod live;
pub mod metrics;
pub mod show;
pub mod status;
pub mod view;
