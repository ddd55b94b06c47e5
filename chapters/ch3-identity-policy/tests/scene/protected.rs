//! A policy that holds, for tests of what somebody damages.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use lab::{Node, Pod, Sandbox};

use crate::plugin::{AGENT, ready_node};
use crate::scene::{FRIENDS_ONLY, ask, eventually, is_answered, outside, reaches, run};

/// An isolated pod, a friend, a stranger, and somebody outside.
pub struct Protected {
    pub node: Node,
    pub pods: [Pod; 3],
    pub outside: Sandbox,
}

impl Protected {
    pub fn new() -> Self {
        let node = ready_node();
        node.apply(FRIENDS_ONLY).unwrap();
        let pods = ["victim", "friend", "stranger"].map(|name| run(&node, name));
        let outside = outside(&node);
        let scene = Self { node, pods, outside };
        scene.expect_protected();
        scene
    }

    pub fn veth(&self, pod: usize) -> String {
        let endpoints = ask(&self.node, "endpoint list -o json");
        let address = self.pods[pod].ip.unwrap().to_string();
        let it = endpoints.as_array().unwrap().iter().find(|it| it["address"] == address.as_str());
        it.unwrap()["link"].as_str().unwrap().into()
    }

    /// Soon all is as the policy says, and the agent has nothing to complain of.
    #[track_caller]
    pub fn expect_protected(&self) {
        let [victim, friend, stranger] = &self.pods;
        eventually("status is green", || {
            ask(&self.node, "status")["problems"].as_array().unwrap().is_empty()
        });
        eventually("the friend reaches it", || reaches(&self.node, friend, victim));
        assert!(!reaches(&self.node, stranger, victim));
        assert!(!self.reaches_from_outside());
    }

    pub fn reaches_from_outside(&self) -> bool {
        let victim = self.pods[0].ip.unwrap().to_string();
        let ping = || self.outside.run(&self.node, &["ping", "-c1", "-W1", &victim]).is_ok();
        is_answered(&self.node, ping)
    }

    pub fn restart_agent(&self) {
        self.node.stop_agent().unwrap();
        self.node.start_agent(Path::new(AGENT)).unwrap();
    }
}
