//! From what is wanted to what is in the kernel.

pub mod changes;
pub mod wanted;

pub mod datapath;
pub mod filters;
pub mod grace;
pub mod sets;

pub mod counters;
pub mod message;
pub mod view;
pub mod waiting;

pub mod engine;
pub mod filter_watch;
