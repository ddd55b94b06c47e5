//! Packets made by hand, sent from a pod's raw socket, and what the kernel told of each.
//!
//! Every shot has a length of its own, by which its event is found among all others.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod monitor;
mod packet;
pub mod ring;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

pub use crate::chapter::{
    agent::serve::event::Event,
    client,
    maps::{
        self,
        ct::{CtEntry, CtKey, Tables},
    },
};
use lab::{Node, Pod};
pub use monitor::Monitor;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
pub use packet::{
    ACK, BROADCAST, FIN, ICMP, Mac, RST, SYN, TCP, UDP, arp, frame, icmp, ipv4, mac, tcp, udp,
    unique,
};

/// How long anything may take that must come to be, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn ip(pod: &Pod) -> Ipv4Addr {
    pod.ip.unwrap()
}

/// Sends a frame out of a pod's eth0 as it is.
pub fn send(node: &Node, pod: &Pod, frame: &[u8]) {
    let sandbox = pod.sandbox.as_ref().unwrap();
    sandbox.enter(node, || RawSocket::on("eth0").send(frame)).unwrap();
}

/// Sends a frame, and says whether it arrives in another pod. It does not if TC has dropped
/// something and it does not come in the second after that; else it is waited for.
pub fn arrives(node: &Node, from: &Pod, to: &Pod, frame: &[u8]) -> bool {
    let there = to.sandbox.as_ref().unwrap().enter(node, || RawSocket::on("eth0")).unwrap();
    let before = tc_drops(node);
    send(node, from, frame);
    let mut is_heard = false;
    let is_decided = lab::wait_until(PATIENCE, || {
        let is_dropped = tc_drops(node) > before;
        is_heard = there.hears(frame, Duration::from_secs(1));
        is_heard || is_dropped
    });
    assert!(is_decided, "in {PATIENCE:?} the frame was neither dropped nor heard");
    is_heard
}

/// What TC's programs have dropped so far, on all links together.
pub fn tc_drops(node: &Node) -> u64 {
    let qdiscs = node.run(&["tc", "-s", "-j", "qdisc", "show"]).unwrap();
    let qdiscs: Vec<serde_json::Value> = serde_json::from_str(&qdiscs).unwrap();
    let clsact = qdiscs.iter().filter(|it| it["kind"] == "clsact");
    clsact.map(|it| it["drops"].as_u64().unwrap()).sum()
}

/// An AF_PACKET socket on an interface of the namespace in which it was opened.
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens it in this thread's namespace.
    pub fn on(interface: &str) -> Self {
        let all = Some(SockProtocol::EthAll);
        let raw =
            socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, all).unwrap();
        // SAFETY: sockaddr_ll is plain C data, for which all zeroes is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = if_nametoindex(interface).unwrap() as i32;
        let (length, address) = (size_of_val(&address) as u32, (&raw const address).cast());
        // SAFETY: the address lives until the call returns, and has the given length.
        assert_eq!(unsafe { libc::bind(raw.as_raw_fd(), address, length) }, 0);
        Self(raw)
    }

    pub fn send(&self, frame: &[u8]) {
        assert_eq!(nix::unistd::write(&self.0, frame).unwrap(), frame.len());
    }

    /// Does the frame come in, in this time? MAC addresses apart.
    pub fn hears(&self, frame: &[u8], time: Duration) -> bool {
        self.hears_any(|heard| heard[12..] == frame[12..], time)
    }

    /// Does such a frame come in, in this time?
    pub fn hears_any(&self, is_it: impl Fn(&[u8]) -> bool, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, 50u16).unwrap() == 1 {
                let length = nix::unistd::read(&self.0, &mut buffer).unwrap();
                if is_it(&buffer[..length]) {
                    return true;
                }
            }
        }
        false
    }
}
