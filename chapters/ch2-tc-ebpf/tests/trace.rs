//! What the program prints: a line for each packet of each pod. Ends with this chapter.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::Node;
use plugin::{add, address, conf_with, node};
use serde_json::json;

/// A tracefs instance of our own: whoever reads the machine's one `trace_pipe` takes the lines
/// away from all others.
struct Trace {
    instance: PathBuf,
}

impl Trace {
    fn new(node: &Node) -> Self {
        node.sh("mkdir -p /run/tracing && mount -t tracefs tracefs /run/tracing").unwrap();
        let name = format!("run/tracing/instances/{}", node.name());
        let instance = node.path(PathBuf::from("/").join(name));
        fs::create_dir(&instance).unwrap();
        fs::write(instance.join("events/bpf_trace/bpf_trace_printk/enable"), "1").unwrap();
        Self { instance }
    }

    /// The lines so far that name an address.
    fn lines(&self, address: &str) -> Vec<String> {
        let hex = hex(address);
        let lines = BufReader::new(File::open(self.instance.join("trace")).unwrap()).lines();
        lines.map(Result::unwrap).filter(|line| line.contains(&hex)).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Busy while the trace is open, also by a child that another test's thread has forked and
        // that has not yet come to exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = fs::remove_dir(&self.instance) {
            let busy = error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline;
            assert!(busy, "{}: {error}", self.instance.display());
            std::thread::yield_now();
        }
    }
}

/// An address as the program prints it.
fn hex(address: &str) -> String {
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    format!("{:#x}", u32::from(address))
}

#[test]
fn a_ping_between_two_pods_is_one_line_for_the_request_and_one_for_the_reply() {
    let node = node();
    let trace = Trace::new(&node);
    // Addresses of our own: other tests' packets are in the trace too.
    let range = format!("10.{}.{}.0/24", 128 + node.pid() % 100, node.pid() / 100 % 250);
    let conf = conf_with(json!({ "podcidr": range }));
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let a_address = address(&add(&node, &a, &conf));
    let b_address = address(&add(&node, &b, &conf));
    a.run(&node, &["ping", "-c3", "-i0.01", "-W20", &b_address]).unwrap();

    let line = |from: &str, to: &str| format!("TC: Got a packet from {} to {}", hex(from), hex(to));
    let count =
        |text: &str| trace.lines(&a_address).iter().filter(|line| line.ends_with(text)).count();
    let (request, reply) = (line(&a_address, &b_address), line(&b_address, &a_address));
    lab::wait_until(Duration::from_secs(20), || count(&reply) >= 3);
    assert_eq!((count(&request), count(&reply)), (3, 3), "{:?}", trace.lines(&a_address));
}

/// Gives the pinned program one packet (BPF_PROG_TEST_RUN) and returns its verdict, or `None`
/// if the kernel takes the packet for none.
fn verdict(node: &Node, packet: &[u8]) -> Option<u64> {
    fs::write(node.path("/run/lab/packet"), packet).unwrap();
    let run = ["bpftool", "-j", "prog", "run", "pinned", "/sys/fs/bpf/ebpfcni", "data_in"];
    let output = node.command(run[0]).args(&run[1..]).arg("/run/lab/packet").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    json["retval"].as_u64()
}

/// An Ethernet frame: addresses, this type, this payload.
fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 header of this many 32-bit words from and to these addresses.
fn ipv4(words: u8, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut header = vec![0; usize::from(words) * 4];
    header[0] = 0x40 | words;
    header[8..10].copy_from_slice(&[64, 17]);
    header[12..16].copy_from_slice(&from);
    header[16..20].copy_from_slice(&to);
    header
}

#[test]
fn every_packet_passes_and_only_ipv4_is_printed() {
    const OK: u64 = 0;
    let node = node();
    let trace = Trace::new(&node);
    add(&node, &node.sandbox().unwrap(), &conf_with(json!({})));
    let id = node.pid().to_be_bytes();
    let from = |kind: u8| [100, kind, id[2], id[3]];
    let address = |kind: u8| std::net::Ipv4Addr::from(from(kind)).to_string();
    let ip = |kind: u8, words: u8| ipv4(words, from(kind), [192, 0, 2, 1]);
    let mut jumbo = ip(3, 5);
    jumbo.resize(3000, 0);

    // What the kernel takes for no packet at all (at the least what has no Ethernet header, and
    // by its version also what is too short for its type) does not reach the program.
    for (ethertype, shortest) in [(0x0800, 34), (0x0806, 15)] {
        for length in 0..34 {
            let verdict = verdict(&node, &frame(ethertype, &ip(1, 5))[..length]);
            let reached = verdict.is_some() || length >= shortest;
            assert_eq!(verdict, reached.then_some(OK), "{length} bytes of {ethertype:#x}");
        }
    }
    let cases = [
        ("bare IPv4 header", frame(0x0800, &ip(2, 5)), 2, 1),
        ("jumbo", frame(0x0800, &jumbo), 3, 1),
        ("IPv4 options", frame(0x0800, &ip(4, 15)), 4, 1),
        ("ARP", frame(0x0806, &ip(5, 5)), 5, 0),
        ("IPv6", frame(0x86dd, &[0x60; 40]), 6, 0),
        ("VLAN tag in band", frame(0x8100, &[&[0, 1, 8, 0], &ip(7, 5)[..]].concat()), 7, 0),
        ("802.3 length", frame(0x0100, &ip(8, 5)), 8, 0),
    ];
    for (what, packet, kind, lines) in cases {
        assert_eq!(verdict(&node, &packet), Some(OK), "{what}");
        assert_eq!(trace.lines(&address(kind)).len(), lines, "{what}");
    }
    assert_eq!(trace.lines(&address(1)).len(), 0, "short frames");
}
