//! Pings that must be answered. On a busy machine one may be late, and while a link comes up one
//! may be lost: so they go on until there is an answer.

use std::fmt::Display;

use anyhow::Result;

use crate::node::Node;
use crate::pod::Pod;
use crate::sandbox::Sandbox;

/// With `-w`, `-c1` ends at the first answer, and not at the first request.
const PING: [&str; 4] = ["ping", "-c1", "-i0.2", "-w20"];

fn ping(address: &str) -> Vec<&str> {
    [&PING[..], &[address]].concat()
}

impl Node {
    /// Pings from the node until there is an answer; an error if there is none for long.
    pub fn ping(&self, address: impl Display) -> Result<()> {
        self.run(&ping(&address.to_string())).map(drop)
    }
}

impl Sandbox {
    /// Pings from the sandbox until there is an answer; an error if there is none for long.
    pub fn ping(&self, node: &Node, address: impl Display) -> Result<()> {
        self.run(node, &ping(&address.to_string())).map(drop)
    }
}

impl Pod {
    /// Pings from the pod until there is an answer; an error if there is none for long.
    pub fn ping(&self, node: &Node, address: impl Display) -> Result<()> {
        self.run(node, &ping(&address.to_string())).map(drop)
    }
}
