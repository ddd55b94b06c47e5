//! Who has which address, and with which identity: labels become numbers.

pub mod identity;
pub mod local;

pub mod claimant;
pub mod claims;
pub mod owner;
