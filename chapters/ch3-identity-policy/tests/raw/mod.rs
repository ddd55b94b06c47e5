//! Packets made by hand, sent from a pod's raw socket, and what the kernel told of each.
//!
//! Every shot has a length of its own, by which its event is found among all others.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub mod ring;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use ch3_identity_policy::{
    agent::events::Event,
    client,
    maps::{
        self,
        ct::{CtEntry, CtKey, Tables},
    },
};
use lab::{Node, Pod};
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// How long anything may take that must come to be, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type Mac = [u8; 6];
pub const BROADCAST: Mac = [0xff; 6];
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A pod's MAC, as the plugin gives it.
pub fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

pub fn ip(pod: &Pod) -> Ipv4Addr {
    pod.ip.unwrap()
}

/// An Ethernet frame.
pub fn frame(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with options (a multiple of 4 bytes) and fragment field.
pub fn ipv4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    (options, fragment): (&[u8], u16),
    payload: &[u8],
) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let mut packet = vec![0; 20];
    packet[0] = 0x40 | words as u8;
    packet[2..4].copy_from_slice(&((words * 4 + payload.len()) as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[8] = 64;
    packet[9] = protocol;
    packet[12..16].copy_from_slice(&from.octets());
    packet[16..20].copy_from_slice(&to.octets());
    packet.extend(options);
    let checksum = checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(*it.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A UDP datagram without checksum.
pub fn udp(from: u16, to: u16) -> Vec<u8> {
    [from, to, 8, 0].map(u16::to_be_bytes).concat()
}

/// A TCP header; nobody gets as far as its checksum.
pub fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let ports = [from, to].map(u16::to_be_bytes).concat();
    [&ports[..], &[0; 8], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
}

/// An ICMP message of a type, with an echo's id or nothing, and what it quotes.
pub fn icmp(kind: u8, id: u16, quoted: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], &id.to_be_bytes(), &[0, 1], quoted].concat();
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// An ARP message: 1 asks, 2 answers.
pub fn arp(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [1u16, 0x0800, 0x0604, operation].map(u16::to_be_bytes).concat();
    let (sender_ip, target_ip) = (sender.1.octets(), target.1.octets());
    [&head[..], &sender.0, &sender_ip, &target.0, &target_ip].concat()
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
    lab::wait_until(PATIENCE, || {
        let is_dropped = tc_drops(node) > before;
        is_heard = there.hears(frame, Duration::from_secs(1));
        is_heard || is_dropped
    });
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

/// Makes a frame one of a length that no other shot has: its event is known by that. What
/// follows a whole IPv4 packet would be cut off on the way, so the packet itself grows.
pub fn unique(mut frame: Vec<u8>) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(200);
    let length = NEXT.fetch_add(5, Ordering::Relaxed) as usize; // 4 may be a VLAN tag's
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let is_whole = frame[12..14] == [8, 0] && frame[14] >> 4 == 4 && total == frame.len() - 14;
    frame.resize(length, 0);
    if is_whole {
        let header = 14..14 + usize::from(frame[14] & 15) * 4;
        frame[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
        frame[24..26].fill(0);
        let checksum = checksum(&frame[header]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
    frame
}

/// All that the agent's monitor has told since it was opened.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<Vec<Event>>>);

impl Monitor {
    /// Subscribes; returns when nothing can be missed any more.
    pub fn new(node: &Node) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let lines = node.enter(|| client::lines("/v1/monitor").unwrap()).unwrap();
        let sink = events.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().extend(serde_json::from_str::<Event>(&line));
            }
        });
        Self(events)
    }

    /// The first event that is as wanted, waited for.
    pub fn find(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.0.lock().unwrap().clone();
            if let Some(event) = events.iter().find(|event| is_it(event)) {
                return event.clone();
            }
            let told = || events.iter().map(line).collect::<Vec<_>>().join("\n");
            assert!(
                Instant::now() < deadline,
                "no event of {what} in {PATIENCE:?}, but:\n{}",
                told()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many are so, by now.
    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| is_it(event)).count()
    }
}

/// An event in a line.
fn line(event: &Event) -> String {
    let Event { hook, reason, source, destination, protocol, length, .. } = event;
    format!("{hook}: {reason}: {source} > {destination} protocol {protocol} length {length}")
}
