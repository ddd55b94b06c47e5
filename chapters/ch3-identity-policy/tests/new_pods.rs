//! S21: a new pod is isolated before anything gets in or out, and reached at once by who may.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod probe;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use lab::{CniCall, Raise, feed};
use plugin::{address, conf};
use probe::{Cluster, DEADLINE, Place};
use serde_json::json;

/// Who knocks at the new pod's door all the time.
const GUESTS: [&str; 3] = ["x/friend", "x/stranger", "192.0.2.2"];

const POLICY: &str = "{ podSelector: { matchLabels: { pod: new } }, policyTypes: [Ingress, Egress],
                        ingress: [{ from: [{ podSelector: { matchLabels: { pod: friend } } }] }] }";

/// From ADD's return to the first answer, if nobody else needs the processor.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The plugin with a slow kernel: between any two of its steps is time to get through.
const SLOWLY: [&str; 7] =
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=sendto,bpf:delay_exit=20000"];

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(&["x/friend", "x/stranger"]);
    cluster.outside(2);
    cluster
}

/// A pod that is going to be, its sockets, and those of the others.
struct NewPod<'a> {
    cluster: &'a Cluster,
    place: Place,
    door: UdpSocket,
    way_out: UdpSocket,
    guests: [UdpSocket; 3],
    /// On the node, where nobody but the pod's own filter keeps it from coming.
    outside: UdpSocket,
}

impl<'a> NewPod<'a> {
    fn new(cluster: &'a Cluster, last: u8) -> Self {
        let address = Ipv4Addr::new(10, 13, 0, last);
        let place = Place::new(cluster.node.sandbox().unwrap(), address);
        let open = |place: &Place, port: u16| {
            let socket = place.enter(&cluster.node, || UdpSocket::bind(("0.0.0.0", port))).unwrap();
            // Soon it looks whether all goes on.
            socket.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
            socket
        };
        // Its MAC is known beforehand: nobody waits for ARP, nor is kept off by it.
        let mac = format!("0a:58:0a:0d:00:{last:02x}");
        let ip = format!("ip neigh replace {address} lladdr {mac} nud permanent dev");
        cluster.node.sh(&format!("{ip} bridge0")).unwrap();
        for pod in cluster.pods() {
            let sandbox = cluster.places[pod].sandbox.as_ref().unwrap();
            sandbox.run(&cluster.node, &["sh", "-c", &format!("{ip} eth0")]).unwrap();
        }
        Self {
            cluster,
            door: open(&place, 80),
            way_out: open(&place, 0),
            place,
            guests: GUESTS.map(|guest| open(&cluster.places[guest], 0)),
            outside: open(&cluster.places["node"], 9000),
        }
    }

    /// ADD for the pod, which the API knows already, as a runtime calls it.
    fn add(&self, wrapper: &[&str]) {
        let name = format!("new-{}", self.place.address.octets()[3]);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "x", "name": name, "uid": name, "labels": { "pod": "new" } },
            "spec": { "nodeName": self.cluster.node.name() },
        });
        let file = format!("pod_x_{name}.yaml");
        self.cluster.node.write_manifest(&file, &pod.to_string()).unwrap();
        let who = format!("K8S_POD_NAMESPACE=x;K8S_POD_NAME={name};K8S_POD_UID={name}");
        let sandbox = self.place.sandbox.as_ref().unwrap();
        let call = CniCall::add(sandbox, &conf()).env("CNI_ARGS", who);
        let mut plugin = self.cluster.node.start_cni(&call, wrapper).unwrap();
        feed(&mut plugin, call.input()).unwrap();
        let output = plugin.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let result = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(address(&result), self.place.address.to_string());
    }

    fn is_answered(&self, guest: &UdpSocket) -> bool {
        guest.send_to(b"knock", (self.place.address, 80)).unwrap();
        guest.recv(&mut [0; 8]).is_ok()
    }

    /// Answers one who is at the door, if there is somebody.
    fn welcome(&self) -> Option<IpAddr> {
        let (_, guest) = self.door.recv_from(&mut [0; 8]).ok()?;
        let _ = self.door.send_to(b"welcome", guest);
        Some(guest.ip())
    }

    /// Adds the pod while everybody tries to get in, and it to get out, until these have got in.
    /// Returns who did, and how long after ADD had returned the friend was answered.
    fn add_amid_all(
        &self,
        wrapper: &[&str],
        expected: &BTreeSet<IpAddr>,
    ) -> (BTreeSet<IpAddr>, Duration) {
        let (guests, answered) = (Mutex::<BTreeSet<IpAddr>>::default(), OnceLock::new());
        let over = &AtomicBool::new(false);
        let goes_on = || !over.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let over = Raise(over);
            scope.spawn(|| {
                while goes_on() {
                    guests.lock().unwrap().extend(self.welcome());
                }
            });
            scope.spawn(|| {
                while goes_on() {
                    if self.is_answered(&self.guests[0]) {
                        answered.get_or_init(Instant::now);
                    }
                }
            });
            scope.spawn(|| {
                while goes_on() {
                    for guest in &self.guests[1..] {
                        self.is_answered(guest);
                    }
                    // Before it has an address the kernel refuses.
                    let _ = self.way_out.send_to(b"out", "10.13.0.1:9000");
                }
            });
            self.add(wrapper);
            let added = Instant::now();
            let all_came = || guests.lock().unwrap().is_superset(expected);
            let is_over = || all_came() && answered.get().is_some();
            assert!(lab::wait_until(DEADLINE, is_over), "{guests:?}, {answered:?}");
            thread::sleep(2 * AT_ONCE); // they all go on trying
            drop(over);
            let late = answered.get().unwrap().saturating_duration_since(added);
            (guests.lock().unwrap().clone(), late)
        })
    }
}

#[test]
fn s21_a_new_pod_is_isolated_from_the_first_packet_and_reached_from_then_on() {
    let cluster = cluster();
    cluster.policy("x/new", POLICY);
    cluster.settle();
    let friends = BTreeSet::from([IpAddr::V4(cluster.ip("x/friend"))]);
    let mut lates = Vec::new();
    for (last, wrapper) in (4..).zip([&SLOWLY[..], &[], &SLOWLY, &[], &[]]) {
        let new = NewPod::new(&cluster, last);
        let (guests, late) = new.add_amid_all(wrapper, &friends);
        assert_eq!(guests, friends);
        assert!(new.outside.recv(&mut [0; 8]).is_err(), "it got out");
        lates.push(late);
    }
    // What keeps the friend waiting would do so each time; a busy machine does not.
    assert!(lates.iter().any(|late| *late < AT_ONCE), "{lates:?}");
}

/// The same without a policy: those who were kept off tried hard enough.
#[test]
fn a_new_pod_that_nobody_isolates_is_reached_and_gets_out() {
    let cluster = cluster();
    let new = NewPod::new(&cluster, 4);
    let all = GUESTS.map(|guest| IpAddr::V4(cluster.ip(guest))).into();
    let (guests, _) = new.add_amid_all(&[], &all);
    assert_eq!(guests, all);
    // Its question for the node's MAC may have got lost while the bridge learnt of its link.
    new.outside.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(new.outside.recv(&mut [0; 8]).is_ok());
}
