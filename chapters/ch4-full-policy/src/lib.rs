//! Chapter 3: identities. The plugin, two TC eBPF programs on every pod's veth, and the agent
//! that keeps their maps true.
//!
//! The modules stand in the order in which data flows through `ADD`.

pub mod args;
pub mod config;
pub mod error;
pub mod result;
pub mod spelling;
pub mod version;

pub mod lease;
pub mod lock;
pub mod netlink;
pub mod netns;
pub mod networks;
pub mod private;

pub mod api;
pub mod client;
pub mod endpoint;
pub mod maps;

pub mod bridge;
pub mod forward;
pub mod gateway;
pub mod iptables;
pub mod masquerade;
pub mod nftables;
pub mod tc;
pub mod veth;

pub mod add;
pub mod check;
pub mod del;
pub mod gc;
pub mod status;

pub mod agent;

/// Tells the people who read the runtime's log; stdout belongs to the result.
pub fn warn(message: &str) {
    use std::io::Write as _;
    // A closed stderr is no reason to fail, and `eprintln!` would panic.
    let _ = writeln!(std::io::stderr(), "ebpfcni: {message}");
}
