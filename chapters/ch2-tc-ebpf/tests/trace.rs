//! What the program prints: a line for each packet of each pod. Ends with this chapter.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
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
        fs::remove_dir(&self.instance).unwrap();
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
    a.run(&node, &["ping", "-c3", "-i0.01", "-W2", &b_address]).unwrap();

    let line = |from: &str, to: &str| format!("TC: Got a packet from {} to {}", hex(from), hex(to));
    let count =
        |text: &str| trace.lines(&a_address).iter().filter(|line| line.ends_with(text)).count();
    let (request, reply) = (line(&a_address, &b_address), line(&b_address, &a_address));
    let deadline = Instant::now() + Duration::from_secs(10);
    while count(&reply) < 3 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!((count(&request), count(&reply)), (3, 3), "{:?}", trace.lines(&a_address));
}
