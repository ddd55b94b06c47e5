//! S21: a new pod is isolated before anything gets in or out, and reached at once by who may.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::{CniCall, Sandbox, feed};
use plugin::{address, conf};
use probe::{Cluster, DEADLINE, Place};
use serde_json::json;

const POLICY: &str = "{ podSelector: { matchLabels: { pod: new } }, policyTypes: [Ingress, Egress],
                        ingress: [{ from: [{ podSelector: { matchLabels: { pod: friend } } }] }] }";

/// From ADD's return to the first answer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A socket whose reads return soon, for loops that look at a flag.
fn socket(cluster: &Cluster, place: &Place, port: u16) -> UdpSocket {
    let socket = place.enter(&cluster.node, || UdpSocket::bind(("0.0.0.0", port))).unwrap();
    socket.set_read_timeout(Some(Duration::from_micros(200))).unwrap();
    socket
}

/// Its neighbour's MAC is known beforehand: nobody waits for ARP, nor is kept off by it.
fn know(cluster: &Cluster, pod: &str, address: Ipv4Addr) {
    let sandbox = cluster.places[pod].sandbox.as_ref().unwrap();
    let [a, b, c, d] = address.octets();
    let mac = format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    let neighbour = ["neigh", "replace", &address.to_string(), "lladdr", &mac, "dev", "eth0"];
    sandbox.run(&cluster.node, &[&["ip"], &neighbour[..], &["nud", "permanent"]].concat()).unwrap();
}

/// A plugin to which the kernel is slow: between any two of its steps is time to get through.
const SLOWLY: [&str; 7] =
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=sendto,bpf:delay_exit=20000"];

/// ADD for a pod that the API knows, as a runtime calls it. Returns its address.
fn add(cluster: &Cluster, sandbox: &Sandbox, name: &str, wrapper: &[&str]) -> Ipv4Addr {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "x", "name": name, "uid": name, "labels": { "pod": "new" } },
        "spec": { "nodeName": cluster.node.name() },
    });
    cluster.node.write_manifest(&format!("pod_x_{name}.yaml"), &pod.to_string()).unwrap();
    let who = format!("K8S_POD_NAMESPACE=x;K8S_POD_NAME={name};K8S_POD_UID={name}");
    let call = CniCall::add(sandbox, &conf()).env("CNI_ARGS", who);
    let mut plugin = cluster.node.start_cni(&call, wrapper).unwrap();
    feed(&mut plugin, call.input()).unwrap();
    let output = plugin.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    address(&serde_json::from_slice(&output.stdout).unwrap()).parse().unwrap()
}

/// What goes on while a pod is added goes on until this is dropped, also when the test fails.
struct GoesOn<'a>(&'a AtomicBool);

impl Drop for GoesOn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The sockets that take part: of the new pod, and of two that know it beforehand.
struct Scene {
    address: Ipv4Addr,
    new: Place,
    door: UdpSocket,
    way_out: UdpSocket,
    friend: UdpSocket,
    other: UdpSocket,
    /// To which the new pod finds no way out.
    outside: UdpSocket,
}

impl Scene {
    fn new(cluster: &Cluster, last: u8) -> Self {
        let address = Ipv4Addr::new(10, 13, 0, last);
        let new = Place::new(cluster.node.sandbox().unwrap(), address);
        let of = |pod: &str, port| {
            know(cluster, pod, address);
            socket(cluster, &cluster.places[pod], port)
        };
        Self {
            address,
            door: socket(cluster, &new, 80),
            way_out: socket(cluster, &new, 0),
            new,
            friend: of("x/friend", 0),
            other: of("x/other", 0),
            outside: of("x/other", 9000),
        }
    }

    fn knock(&self, who: &UdpSocket) -> bool {
        who.send_to(b"knock", (self.address, 80)).unwrap();
        who.recv(&mut [0; 8]).is_ok()
    }

    /// Answers one who is at the door, if there is somebody.
    fn welcome(&self) -> Option<IpAddr> {
        let (_, guest) = self.door.recv_from(&mut [0; 8]).ok()?;
        let _ = self.door.send_to(b"welcome", guest);
        Some(guest.ip())
    }

    fn go_out(&self, cluster: &Cluster) {
        // Before it has an address the kernel refuses.
        let _ = self.way_out.send_to(b"out", (cluster.ip("x/other"), 9000));
        let _ = self.way_out.recv(&mut [0; 8]);
    }

    /// Adds the pod while everybody tries to get in, and it to get out. Returns who got in, and
    /// how long after ADD had returned the friend was answered.
    fn add(&self, cluster: &Cluster, wrapper: &[&str]) -> (BTreeSet<IpAddr>, Option<Duration>) {
        let on = &AtomicBool::new(true);
        let goes_on = || on.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let _goes_on = GoesOn(on);
            let guests = scope.spawn(|| {
                let mut guests = BTreeSet::new();
                while goes_on() {
                    guests.extend(self.welcome());
                }
                guests
            });
            let answered = scope.spawn(|| {
                let mut answered = None;
                while goes_on() {
                    if self.knock(&self.friend) {
                        answered.get_or_insert_with(Instant::now);
                    }
                }
                answered
            });
            scope.spawn(|| {
                while goes_on() {
                    self.knock(&self.other);
                }
            });
            scope.spawn(|| {
                while goes_on() {
                    self.go_out(cluster);
                }
            });

            let name = format!("new-{}", self.address.octets()[3]);
            let address = add(cluster, self.new.sandbox.as_ref().unwrap(), &name, wrapper);
            let added = Instant::now();
            assert_eq!(address, self.address);
            thread::sleep(2 * AT_ONCE); // they all go on trying
            on.store(false, Ordering::Relaxed);
            let late = answered.join().unwrap().map(|it| it.saturating_duration_since(added));
            (guests.join().unwrap(), late)
        })
    }
}

#[test]
fn s21_a_new_pod_is_isolated_from_the_first_packet_and_reached_from_then_on() {
    let cluster = Cluster::new(&["x/friend", "x/other"]);
    cluster.policy("x/new", POLICY);
    cluster.settle();
    let friends = BTreeSet::from([IpAddr::V4(cluster.ip("x/friend"))]);
    for (last, wrapper) in (4..).zip([&SLOWLY[..], &[], &SLOWLY, &[], &[]]) {
        let scene = Scene::new(&cluster, last);
        let (guests, late) = scene.add(&cluster, wrapper);
        assert_eq!(guests, friends);
        assert!(late.is_some_and(|late| late < AT_ONCE), "{late:?}");
        assert!(scene.outside.recv(&mut [0; 8]).is_err(), "it got out");
    }
}

/// The same without a policy: those who were kept off tried hard enough.
#[test]
fn a_new_pod_that_nobody_isolates_is_reached_and_gets_out() {
    let cluster = Cluster::new(&["x/friend", "x/other"]);
    let scene = Scene::new(&cluster, 4);
    let (guests, _) = scene.add(&cluster, &[]);
    let everybody = ["x/friend", "x/other"].map(|pod| IpAddr::V4(cluster.ip(pod)));
    assert_eq!(guests, BTreeSet::from(everybody));
    // Its question for the other's MAC may have got lost while the bridge learnt of its link.
    scene.outside.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(scene.outside.recv(&mut [0; 8]).is_ok());
}
