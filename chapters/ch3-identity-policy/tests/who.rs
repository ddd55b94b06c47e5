//! Who sent it? By what the kernel knows of a packet, not by what the packet says of itself.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod raw;
mod scene;

use std::net::{Ipv4Addr, UdpSocket};

use lab::{Node, Pod, PodSpec, Sandbox};
use plugin::ready_node;
use raw::{Monitor, RawSocket, UDP, frame, ip, ipv4, mac, send, udp, unique};
use scene::{FRIENDS_ONLY, OUTSIDE, UPLINK, eventually, outside};

struct Scene {
    node: Node,
    outside: Sandbox,
    friend: Pod,
    other: Pod,
    victim: Pod,
    monitor: Monitor,
}

impl Scene {
    fn new() -> Self {
        let node = ready_node();
        let outside = outside(&node);
        let pod = |name: &str| node.run_pod(PodSpec::new(name).label("app", name)).unwrap();
        let [friend, other, victim] = ["friend", "other", "victim"].map(pod);
        node.apply(FRIENDS_ONLY).unwrap();
        let monitor = Monitor::new(&node);
        let scene = Self { node, outside, friend, other, victim, monitor };
        let honest = ipv4(ip(&scene.other), ip(&scene.victim), UDP, (&[], 0), &udp(1, 2));
        let honest = frame(mac(ip(&scene.victim)), mac(ip(&scene.other)), 0x0800, &honest);
        while scene.monitor.count(|event| event.reason.as_str() == "denied by policy") == 0 {
            send(&scene.node, &scene.other, &honest);
            std::thread::yield_now();
        }
        scene
    }

    /// A pod of another node has an address.
    fn pod_elsewhere(&self, app: &str, address: &str) {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: remote-{app}, namespace: default, \
             uid: {app}, labels: {{app: {app}}}}}, spec: {{nodeName: elsewhere}}, \
             status: {{phase: Running, podIPs: [{{ip: {address}}}]}}}}"
        );
        self.node.write_manifest(&format!("pod_default_remote-{app}.yaml"), &manifest).unwrap();
    }

    /// What became of a datagram, sent to a pod from the outside under some address.
    fn sent_from_outside(&self, source: Ipv4Addr, to: &Pod) -> (String, u32) {
        let packet = ipv4(source, ip(to), UDP, (&[], 0), &udp(1000, 2000));
        let shot = unique(frame(UPLINK, [2, 0, 0, 0, 0, 9], 0x0800, &packet));
        self.outside.enter(&self.node, || RawSocket::on("eth0").send(&shot)).unwrap();
        let event = self.monitor.find("a packet from outside", |event| {
            event.length == shot.len() as u32 && event.hook.as_str() == "to-pod"
        });
        (event.reason.to_string(), event.source_identity)
    }
}

#[test]
fn the_world_is_known_by_not_being_known() {
    let s = Scene::new();
    assert_eq!(s.sent_from_outside(OUTSIDE, &s.other), ("new connection".into(), 2));
    assert_eq!(s.sent_from_outside(OUTSIDE, &s.victim), ("denied by policy".into(), 2));
    // What a pod asks of the world, the world may answer, also an isolated pod.
    let pod = s.victim.sandbox.as_ref().unwrap();
    pod.ping(&s.node, OUTSIDE).unwrap();
}

#[test]
fn a_packet_from_the_uplink_does_not_come_from_a_pod_of_this_node() {
    let s = Scene::new();
    assert_eq!(s.sent_from_outside(ip(&s.friend), &s.victim), ("spoofed source".into(), 0));
    assert_eq!(s.sent_from_outside(ip(&s.friend), &s.other), ("spoofed source".into(), 0));
}

#[test]
fn a_pod_of_another_node_is_known_by_its_address() {
    let s = Scene::new();
    s.pod_elsewhere("friend", "10.14.0.5");
    s.pod_elsewhere("stranger", "10.14.0.6");
    let [friend, stranger] = [5, 6].map(|last| Ipv4Addr::new(10, 14, 0, last));
    eventually("both are known", || {
        s.node.run(&[lab::AGENT, "bpf", "endpoint", "list"]).unwrap().contains("10.14.0.6")
    });
    let (reason, identity) = s.sent_from_outside(friend, &s.victim);
    assert_eq!(reason, "new connection");
    assert!(identity >= 256);
    assert_eq!(s.sent_from_outside(stranger, &s.victim).0, "denied by policy");
}

#[test]
fn an_answer_passes_also_when_its_sender_becomes_known_as_a_pod_meanwhile() {
    let s = Scene::new();
    let in_outside = || UdpSocket::bind("0.0.0.0:53").unwrap();
    let there = s.outside.enter(&s.node, in_outside).unwrap();
    let victim = s.victim.sandbox.as_ref().unwrap();
    let here = victim.enter(&s.node, || UdpSocket::bind("0.0.0.0:4000").unwrap()).unwrap();
    for socket in [&there, &here] {
        socket.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    }
    here.send_to(b"question", (OUTSIDE, 53)).unwrap();
    let (_, asker) = there.recv_from(&mut [0; 8]).unwrap();
    // The API tells of it late, and then of another pod that has its address.
    s.pod_elsewhere("stranger", &OUTSIDE.to_string());
    s.node.wait_until_in_force(raw::PATIENCE).unwrap();
    there.send_to(b"answer", asker).unwrap();
    here.recv(&mut [0; 8]).unwrap();
    s.node.remove_manifest("pod_default_remote-stranger.yaml").unwrap();
    s.pod_elsewhere("other", &OUTSIDE.to_string());
    s.node.wait_until_in_force(raw::PATIENCE).unwrap();
    there.send_to(b"answer", asker).unwrap();
    let dropped = s.monitor.find("the other pod's", |event| event.destination_port == 4000);
    assert_eq!(dropped.reason.as_str(), "denied by policy");
}

#[test]
fn the_node_reaches_its_pods_and_who_hides_behind_its_address_does_not() {
    let s = Scene::new();
    let victim = ip(&s.victim);
    s.node.ping(victim).unwrap();
    // A NodePort as kube-proxy makes it: what comes in by the uplink gets the node's address.
    s.node
        .sh(&format!(
            "nft -f - <<EOF
table ip nodeport {{
  chain prerouting {{
    type nat hook prerouting priority dstnat
    ip daddr 192.0.2.1 udp dport 2000 dnat to {victim}
    ip daddr 192.0.2.1 udp dport 2001 dnat to {}:2000
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    iifname uplink masquerade
  }}
}}
EOF",
            ip(&s.other)
        ))
        .unwrap();
    let outside = s.outside.enter(&s.node, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let gateway = Ipv4Addr::new(10, 13, 0, 1);
    for (port, dropped) in [(2000, true), (2001, false)] {
        outside.send_to(b"hello", (Ipv4Addr::new(192, 0, 2, 1), port)).unwrap();
        let event = s.monitor.find("a masqueraded packet", |event| {
            event.source == gateway && event.destination_port == 2000 && event.dropped == dropped
        });
        assert_eq!(event.source_identity, 2, "{event:?}");
    }
}

#[test]
fn a_mark_that_a_pod_sets_goes_no_further_than_the_pod() {
    let s = Scene::new();
    let identities =
        s.node.run(&["/run/lab/bin/ebpf-agent", "identity", "list", "-o", "json"]).unwrap();
    let identities: serde_json::Value = serde_json::from_str(&identities).unwrap();
    let friend =
        identities.as_array().unwrap().iter().find(|it| it["labels"]["labels"]["app"] == "friend");
    let id = friend.unwrap()["id"].as_u64().unwrap() as u32;
    let pod = s.other.sandbox.as_ref().unwrap();
    let to = (ip(&s.victim), 2000);
    for mark in [id << 16 | 0x0f00, id << 16 | 0x0fff, 1 << 16 | 0x0f00, 0x0f00] {
        pod.enter(&s.node, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Mark, &mark).unwrap();
            socket.send_to(&mark.to_be_bytes(), to).unwrap();
            let port = socket.local_addr().unwrap().port();
            let event = s.monitor.find("a marked packet", |event| event.source_port == port);
            assert_eq!(event.reason.as_str(), "denied by policy", "{mark:#x}");
        })
        .unwrap();
    }
}

#[test]
fn what_the_bridge_floods_is_for_one_pod_only() {
    let s = Scene::new();
    // The frame is for a MAC that nobody has, the packet for a pod that may get it.
    let packet = ipv4(ip(&s.friend), ip(&s.victim), UDP, (&[], 0), &udp(3, 4));
    let shot = unique(frame([2, 0, 0, 0, 0, 1], mac(ip(&s.friend)), 0x0800, &packet));
    send(&s.node, &s.friend, &shot);
    let is_it = |event: &raw::Event| event.length == shot.len() as u32;
    s.monitor.find("the victim's", |event| is_it(event) && !event.dropped);
    let event = s.monitor.find("the other's", |event| is_it(event) && event.dropped);
    assert_eq!(event.reason.as_str(), "not the pod's address");
}

#[test]
fn what_a_tunnels_end_unpacks_is_from_the_pod_that_packed_it() {
    let s = Scene::new();
    // Another overlay on the same node, as flannel leaves it.
    s.node
        .sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
             ip link add tunnel type vxlan id 1 dstport 8472 local 10.13.0.1 nolearning
             ip link set tunnel address 02:00:00:00:00:77 up")
        .unwrap();
    let through_the_tunnel = |from: &Pod, claimed: &Pod, port: u16| {
        let inner = ipv4(ip(claimed), ip(&s.victim), UDP, (&[], 0), &udp(port, 2000));
        let inner = frame([2, 0, 0, 0, 0, 0x77], mac(ip(claimed)), 0x0800, &inner);
        let mut packed = vec![8, 0, 0, 0, 0, 0, 1, 0]; // RFC 7348: a VNI is there, and it is 1
        packed.extend(inner);
        from.sandbox
            .as_ref()
            .unwrap()
            .enter(&s.node, || {
                UdpSocket::bind("0.0.0.0:0").unwrap().send_to(&packed, "10.13.0.1:8472").unwrap();
            })
            .unwrap();
        let event = s.monitor.find("what was unpacked", |event| {
            event.source_port == port && event.hook.as_str() == "to-pod"
        });
        event.reason.to_string()
    };
    assert_eq!(through_the_tunnel(&s.friend, &s.friend, 1), "new connection");
    assert_eq!(through_the_tunnel(&s.other, &s.other, 2), "denied by policy");
    assert_eq!(through_the_tunnel(&s.other, &s.friend, 3), "denied by policy");
}
