//! The plugin under test, as chapter 1's tests have it.

#[path = "../../../ch1-basic-cni/tests/plugin/mod.rs"]
mod chapter1;

pub use chapter1::*;
