//! After ADD packets pass: from pod to pod, to the node and back, to the outside.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use lab::{Node, PodSpec, Sandbox};
use plugin::{add, address, assert_no_pod_left, conf, conf_with, del, node, ping, ready_node};
use serde_json::json;

#[test]
fn pods_and_node_reach_each_other() {
    let node = ready_node();
    let a = node.run_pod(PodSpec::new("a")).unwrap();
    let b = node.run_pod(PodSpec::new("b")).unwrap();
    a.ping(&node, b.ip.unwrap()).unwrap();
    b.ping(&node, a.ip.unwrap()).unwrap();
    a.ping(&node, "10.13.0.1").unwrap();
    node.ping(a.ip.unwrap()).unwrap();
    node.check_pod(&a).unwrap();
    node.remove_pod("default", "a").unwrap();
    node.remove_pod("default", "b").unwrap();
    assert_no_pod_left(&node);
}

#[test]
fn what_a_pod_sends_first_is_not_lost() {
    let node = node();
    let server = node.sandbox().unwrap();
    let server_address = address(&add(&node, &server, &conf()));
    let echo = server.enter(&node, || UdpSocket::bind("0.0.0.0:7").unwrap()).unwrap();
    let pods: Vec<_> = (0..60).map(|_| node.sandbox().unwrap()).collect();
    let asks = || {
        // A second ARP request, a second later, would hide that the first one was lost.
        fs::write("/proc/sys/net/ipv4/neigh/eth0/mcast_solicit", "1")?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        socket.connect((server_address.as_str(), 7))?;
        socket.send(&[1])?;
        socket.recv(&mut [0])
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok((1, from)) = echo.recv_from(&mut [0]) {
                echo.send_to(&[1], from).unwrap();
            }
        });
        let asking = pods.iter().map(|pod| {
            scope.spawn(|| {
                add(&node, pod, &conf());
                pod.enter(&node, asks).unwrap()
            })
        });
        let asked = asking.collect::<Vec<_>>().into_iter().map(|it| it.join());
        let lost: Vec<_> = asked.filter(|it| !matches!(it, Ok(Ok(_)))).collect();
        let _ = server.enter(&node, || UdpSocket::bind("0.0.0.0:0")?.send_to(&[], "127.0.0.1:7"));
        assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), pods.len());
    });
}

#[test]
fn the_outside_answers_only_a_masqueraded_pod() {
    for masquerades in [true, false] {
        let node = node();
        let pod = node.sandbox().unwrap();
        let outside = node.sandbox().unwrap();
        // The outside knows the node's address 192.0.2.1 and has no route to the pods.
        let peer = outside.netns().rsplit('/').next().unwrap().to_string();
        node.sh(&format!(
            "ip link add uplink type veth peer name eth0 netns {peer}
             ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up
             ip -n {peer} addr add 192.0.2.2/24 dev eth0 && ip -n {peer} link set eth0 up
             until ip link show uplink | grep -q 'state UP'; do sleep 0.01; done"
        ))
        .unwrap();
        add(&node, &pod, &conf_with(json!({ "ipMasq": masquerades })));
        if masquerades {
            ping(&node, &pod, "192.0.2.2");
            continue;
        }
        // What it sends arrives, under its own address; the answer has no way.
        count_from(&node, &outside, "10.13.0.2");
        let arrives_unanswered = || {
            let ping = pod.run(&node, &["ping", "-c1", "-W1", "192.0.2.2"]);
            assert!(ping.is_err(), "{ping:?}");
            counted(&node, &outside)
        };
        assert!(lab::wait_until(Duration::from_secs(20), arrives_unanswered));
    }
}

/// Counts what comes to a sandbox from an address.
fn count_from(node: &Node, sandbox: &Sandbox, address: &str) {
    let rules = format!(
        "add table ip t; add chain ip t in {{ type filter hook input priority 0; }}; \
         add rule ip t in ip saddr {address} counter"
    );
    sandbox.run(node, &["nft", &rules]).unwrap();
}

/// Has anything come?
fn counted(node: &Node, sandbox: &Sandbox) -> bool {
    !sandbox.run(node, &["nft", "list", "chain", "ip", "t", "in"]).unwrap().contains("packets 0")
}

#[test]
fn traffic_between_pods_is_not_masqueraded() {
    let node = node();
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &a, &conf());
    let b_address = address(&add(&node, &b, &conf()));
    count_from(&node, &b, "10.13.0.2");
    ping(&node, &a, &b_address);
    assert!(counted(&node, &b));
}

#[test]
fn the_node_reaches_itself_by_the_bridges_address_and_gets_its_answer() {
    let node = node();
    // The first address that the node has: masqueraded, its packet would come from there.
    node.sh("ip link add uplink type veth peer name wire; ip link set uplink up
         ip addr add 192.0.2.1/24 dev uplink")
        .unwrap();
    add(&node, &node.sandbox().unwrap(), &conf());
    let asked_and_answered = || {
        let server = UdpSocket::bind("0.0.0.0:7")?;
        let client = UdpSocket::bind("0.0.0.0:0")?;
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        }
        client.connect("10.13.0.1:7")?;
        client.send(&[1])?;
        let (_, from) = server.recv_from(&mut [0])?;
        server.send_to(&[2], from)?;
        client.recv(&mut [0]).map(|_| from.ip().to_string())
    };
    assert_eq!(node.enter(asked_and_answered).unwrap().unwrap(), "10.13.0.1");
}

#[test]
fn a_freed_address_is_reachable_at_once_by_who_knew_its_last_owner() {
    let node = node();
    let small = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
    let pods: Vec<_> = (0..6).map(|_| node.sandbox().unwrap()).collect();
    let results: Vec<_> = pods[..5].iter().map(|pod| add(&node, pod, &small)).collect();
    let freed = address(&results[3]);
    ping(&node, &pods[0], &freed);
    del(&node, &pods[3], &small);
    assert_eq!(address(&add(&node, &pods[5], &small)), freed, "the only one left");
    // The first packet, and no other one: it has all the time that it needs.
    pods[0].run(&node, &["ping", "-c1", "-W20", &freed]).unwrap();
}

#[test]
fn every_prefix_from_8_to_29_works() {
    let node = node();
    for prefix in 8..=29 {
        let pod = node.sandbox().unwrap();
        let changes = json!({
            "name": format!("n{prefix}"), "bridge": format!("br{prefix}"),
            "podcidr": format!("10.0.0.0/{prefix}"),
        });
        let conf = conf_with(changes);
        let result = add(&node, &pod, &conf);
        assert_eq!(result["ips"][0]["address"], format!("10.0.0.2/{prefix}"));
        ping(&node, &pod, "10.0.0.1");
        del(&node, &pod, &conf);
        node.run(&["ip", "link", "del", &format!("br{prefix}")]).unwrap();
    }
}
