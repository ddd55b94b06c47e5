//! Why a pod does not run, in the words of kubelet and containerd.

use std::fmt;

use serde_json::Value;

use crate::cni::text_of;

/// What kubelet says while the directory of configurations is empty.
pub(crate) const NO_CONFIGURATION: &str = "cni plugin not initialized";

/// Why a pod does not run.
#[derive(Debug)]
pub enum RunPodError {
    /// The node is not ready, the pod is Pending.
    NotReady(String),
    /// A plugin's ADD failed. DEL was called, the sandbox is gone.
    Plugin {
        /// Which of them, in libcni's words.
        which: String,
        /// Its error result.
        error: Value,
    },
    /// The lab itself failed.
    Lab(anyhow::Error),
}

impl fmt::Display for RunPodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(message) => write!(f, "{message}"),
            Self::Plugin { which, error } => {
                write!(f, "failed to setup network for sandbox: {which}: {}", text_of(error))
            }
            Self::Lab(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for RunPodError {}

impl From<anyhow::Error> for RunPodError {
    fn from(error: anyhow::Error) -> Self {
        Self::Lab(error)
    }
}
