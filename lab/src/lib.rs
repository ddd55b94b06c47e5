//! The fake node: namespaces, and a runtime that plays containerd and kubelet truthfully.
//!
//! A [`Node`] is what a CNI plugin sees of a Kubernetes node, and its directory of manifests is
//! what an agent sees of the API server. Tests make their own node, gone when dropped; people
//! keep one by the `lab` command.

#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic: see out.rs")]

mod agent;
mod apply;
mod cni;
mod containerd;
mod in_force;
mod kind;
mod kubelet;
mod manifests;
mod namespaces;
mod netconf;
mod node;
mod object;
mod out;
mod ping;
mod pod;
mod processes;
mod raise;
mod run_pod_error;
mod sandbox;

pub mod chapter;
pub mod registry;

pub use agent::AGENT;
pub use cni::{CniCall, CniOutput, feed};
pub use in_force::{InForce, PATIENCE};
pub use kind::Kind;
pub use kubelet::NodeStatus;
pub use node::Node;
pub use object::{Object, check_name};
pub use out::{is_incomplete, say, warn};
pub use pod::{Phase, Pod, PodSpec};
pub use processes::wait_until;
pub use raise::Raise;
pub use run_pod_error::RunPodError;
pub use sandbox::Sandbox;
