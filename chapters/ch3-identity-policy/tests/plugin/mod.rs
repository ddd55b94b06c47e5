//! The plugin under test, as chapter 1's tests have it, and its agent.

#[path = "../../../ch1-basic-cni/tests/plugin/mod.rs"]
mod chapter1;

pub use chapter1::*;

/// The agent's program: this chapter has one.
#[allow(dead_code, reason = "not each test file uses it")]
pub const AGENT: &str = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME"), "-agent"));
