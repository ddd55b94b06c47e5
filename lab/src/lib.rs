//! The fake node: namespaces, and a runtime that plays containerd and kubelet truthfully.
//!
//! A [`Node`] is what a CNI plugin sees of a Kubernetes node. Tests make their own, each gone
//! when dropped; people keep one by the `lab` command.

mod cni;
mod containerd;
mod kubelet;
mod namespaces;
mod netconf;
mod node;
mod pod;
mod sandbox;

pub mod chapter;
pub mod registry;

pub use cni::{CniCall, CniOutput, feed};
pub use kubelet::{NodeStatus, RunPodError};
pub use node::Node;
pub use pod::{Phase, Pod, PodSpec};
pub use sandbox::Sandbox;
