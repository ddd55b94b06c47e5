//! ADD, CHECK, DEL, GC and STATUS on a real kernel: what each must do, and must not.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use lab::{CniCall, Node, PodSpec, Sandbox};
use plugin::{
    add, address, assert_no_pod_left, conf, conf_with, del, fail, node, ready_node, succeed, traces,
};
use serde_json::{Value, json};

fn ping(node: &Node, from: &Sandbox, to: &str) {
    from.run(node, &["ping", "-c1", "-W2", to]).unwrap();
}

fn gc(conf: &Value, valid: Value) -> CniCall {
    let mut conf = conf.clone();
    conf["cni.dev/valid-attachments"] = valid;
    CniCall::new("GC").env("CNI_PATH", "/opt/cni/bin").stdin(conf.to_string())
}

fn status(conf: &Value) -> CniCall {
    CniCall::new("STATUS").stdin(conf.to_string())
}

#[test]
fn pods_and_node_reach_each_other() {
    let node = ready_node();
    let a = node.run_pod(PodSpec::new("a")).unwrap();
    let b = node.run_pod(PodSpec::new("b")).unwrap();
    let ip = |pod: &lab::Pod| pod.ip.unwrap().to_string();
    a.run(&node, &["ping", "-c1", "-W2", &ip(&b)]).unwrap();
    b.run(&node, &["ping", "-c1", "-W2", &ip(&a)]).unwrap();
    a.run(&node, &["ping", "-c1", "-W2", "10.13.0.1"]).unwrap();
    node.run(&["ping", "-c1", "-W2", &ip(&a)]).unwrap();
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
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
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
        let ping = pod.run(&node, &["ping", "-c1", "-W1", "192.0.2.2"]);
        assert_eq!(ping.is_ok(), masquerades, "{ping:?}");
    }
}

#[test]
fn traffic_between_pods_is_not_masqueraded() {
    let node = node();
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &a, &conf());
    let b_address = address(&add(&node, &b, &conf()));
    b.run(&node, &["nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in ip saddr 10.13.0.2 counter accept"]).unwrap();
    ping(&node, &a, &b_address);
    let seen = b.run(&node, &["nft", "list", "chain", "ip", "t", "in"]).unwrap();
    assert!(!seen.contains("packets 0"), "{seen}");
}

#[test]
fn add_leaves_the_links_as_the_text_says() {
    let node = ready_node();
    let pod = node.run_pod(PodSpec::new("web").namespace("shop")).unwrap();
    let host_link = pod.result.as_ref().unwrap()["interfaces"][1]["name"].as_str().unwrap();
    assert!(host_link.starts_with("veth") && host_link.len() == 15);
    let link = node.run(&["ip", "-d", "link", "show", "dev", host_link]).unwrap();
    for part in ["hairpin on", "master bridge0", "alias shop/web", "addrgenmode none", "state UP"] {
        assert!(link.contains(part), "{part} is missing in {link}");
    }
    let bridge = node.run(&["ip", "-d", "link", "show", "dev", "bridge0"]).unwrap();
    assert!(bridge.contains("nf_call_iptables 1"), "{bridge}");
    let ipv6 = pod.run(&node, &["ip", "-6", "addr", "show", "dev", "eth0"]).unwrap();
    assert_eq!(ipv6, "", "no IPv6 in the pod");
    assert_eq!(node.run(&["ip", "-6", "addr", "show", "dev", host_link]).unwrap(), "");
    assert_eq!(node.run(&["cat", "/proc/sys/net/ipv4/ip_forward"]).unwrap().trim(), "1");
}

#[test]
fn the_gateways_mac_does_not_change_when_pods_come_and_go() {
    let node = node();
    let mac = || {
        let json = node.run(&["ip", "-j", "link", "show", "dev", "bridge0"]).unwrap();
        serde_json::from_str::<Value>(&json).unwrap()[0]["address"].clone()
    };
    let [a, b] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &a, &conf());
    let before = mac();
    add(&node, &b, &conf());
    del(&node, &a, &conf());
    assert_eq!(mac(), before);
    del(&node, &b, &conf());
    assert_eq!(mac(), before);
}

#[test]
fn a_repeated_add_fails_and_leaves_the_first_one_working() {
    let node = node();
    let [pod, other] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let first = add(&node, &pod, &conf());
    let other_address = address(&add(&node, &other, &conf()));
    let before = traces(&node);
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains(&address(&first)), "{message}");
    assert_eq!(traces(&node), before);
    ping(&node, &pod, &other_address);
    succeed(&node, CniCall::check(&pod, &conf_with(json!({ "prevResult": first }))));
}

#[test]
fn an_interface_of_that_name_in_the_pod_is_an_error_and_stays() {
    let node = node();
    let pod = node.sandbox().unwrap();
    pod.run(&node, &["ip", "link", "add", "eth0", "type", "veth"]).unwrap();
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains("eth0 exists in the pod"), "{message}");
    assert_no_pod_left(&node);
    pod.run(&node, &["ip", "link", "show", "eth0"]).unwrap();
}

#[test]
fn a_link_that_has_the_bridges_name_is_refused_and_stays() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.run(&["ip", "link", "add", "bridge0", "type", "veth"]).unwrap();
    let before = traces(&node);
    let message = fail(&node, CniCall::add(&pod, &conf()), 100);
    assert!(message.contains("bridge0") && message.contains("another kind"), "{message}");
    assert_eq!(traces(&node), before);
    assert!(fail(&node, status(&conf()), 50).contains("bridge0"));
}

#[test]
fn a_bridge_that_is_down_or_lost_its_address_is_mended() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.sh("ip link add bridge0 type bridge").unwrap();
    add(&node, &pod, &conf());
    ping(&node, &pod, "10.13.0.1");
}

#[test]
fn del_needs_neither_namespace_nor_prev_result_and_may_be_repeated() {
    let node = node();
    for netns in [Some(""), None, Some("/var/run/netns/gone")] {
        let pod = node.sandbox().unwrap();
        add(&node, &pod, &conf());
        let call = || match netns {
            Some(path) => CniCall::del(&pod, &conf()).env("CNI_NETNS", path),
            None => CniCall::del(&pod, &conf()).without("CNI_NETNS"),
        };
        succeed(&node, call());
        assert_no_pod_left(&node);
        assert!(pod.run(&node, &["ip", "link", "show", "eth0"]).is_err(), "eth0 is left");
        succeed(&node, call());
    }
}

#[test]
fn del_after_the_namespace_is_gone_frees_the_address() {
    let node = node();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    pod.remove(&node).unwrap();
    del(&node, &pod, &conf());
    assert_no_pod_left(&node);
}

#[test]
fn del_of_what_never_was_is_no_error() {
    let node = node();
    let pod = node.sandbox().unwrap();
    del(&node, &pod, &conf());
    let other = node.sandbox().unwrap();
    add(&node, &other, &conf());
    let before = traces(&node);
    del(&node, &pod, &conf());
    assert_eq!(traces(&node), before);
}

#[test]
fn check_notices_whatever_is_broken() {
    let node = node();
    let breakages = [
        ("address", "ip -n $NS addr flush dev eth0 && ip -n $NS addr add 10.13.0.99/24 dev eth0"),
        ("route", "ip -n $NS route del default"),
        ("route", "ip -n $NS route replace default via 10.13.0.77"),
        ("eth0 is down", "ip -n $NS link set eth0 down"),
        ("MAC", "ip -n $NS link set eth0 address 02:00:00:00:00:01"),
        ("eth0 is gone", "ip -n $NS link set eth0 down && ip -n $NS link set eth0 name eth9"),
        ("is not on bridge0", "ip link set $HOST nomaster"),
        ("is down", "ip link set $HOST down"),
        ("is gone", "ip link del $HOST"),
        ("lease", "rm /run/ebpfcni/ebpfcni/*@$HOST"),
        ("masquerade", "nft delete table ip ebpfcni-ebpfcni"),
        ("bridge0 is gone", "ip link del bridge0"),
    ];
    for (complaint, breakage) in breakages {
        let pod = node.sandbox().unwrap();
        let result = add(&node, &pod, &conf());
        let check = || CniCall::check(&pod, &conf_with(json!({ "prevResult": result })));
        succeed(&node, check());
        let (namespace, host) = (pod.netns().rsplit('/').next().unwrap(), &result["interfaces"][1]);
        node.sh(&format!("NS={namespace} HOST={} && {breakage}", host["name"])).unwrap();
        let message = fail(&node, check(), 100);
        assert!(message.contains(complaint), "{breakage}: {message}");
        del(&node, &pod, &conf());
    }
}

#[test]
fn check_tolerates_what_later_plugins_of_a_chain_add() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let mut result = add(&node, &pod, &conf());
    pod.run(&node, &["ip", "route", "add", "198.51.100.0/24", "via", "10.13.0.1"]).unwrap();
    pod.run(&node, &["ip", "addr", "add", "198.51.100.1/32", "dev", "eth0"]).unwrap();
    result["routes"].as_array_mut().unwrap().push(json!({ "dst": "198.51.100.0/24" }));
    result["ips"].as_array_mut().unwrap().push(json!({ "address": "198.51.100.1/32" }));
    succeed(&node, CniCall::check(&pod, &conf_with(json!({ "prevResult": result }))));
}

#[test]
fn check_needs_prev_result() {
    let node = node();
    let pod = node.sandbox().unwrap();
    add(&node, &pod, &conf());
    assert!(fail(&node, CniCall::check(&pod, &conf()), 7).contains("prevResult"));
}

#[test]
fn gc_removes_what_is_not_valid_and_nothing_else() {
    let node = node();
    let pods: Vec<_> = (0..4).map(|_| node.sandbox().unwrap()).collect();
    let results: Vec<_> = pods.iter().map(|pod| add(&node, pod, &conf())).collect();
    let valid = |pods: &[Sandbox]| -> Value {
        pods.iter().map(|pod| json!({ "containerID": pod.id(), "ifname": "eth0" })).collect()
    };
    let output = succeed(&node, gc(&conf(), valid(&pods[..2])));
    assert_eq!(output.stdout, b"");
    ping(&node, &pods[0], &address(&results[1]));
    let traces = traces(&node);
    for (result, valid) in results.iter().zip([true, true, false, false]) {
        let host_link = result["interfaces"][1]["name"].as_str().unwrap();
        assert_eq!(traces.contains(host_link), valid, "{traces}");
        assert_eq!(traces.contains(&format!("{}@", address(result))), valid, "{traces}");
    }
    for (valid, code) in [(None, 7), (Some(json!("x")), 6)] {
        let mut call = gc(&conf(), json!(null)).stdin(conf().to_string());
        if let Some(valid) = valid {
            call = gc(&conf(), valid);
        }
        fail(&node, call, code);
        assert_eq!(plugin::traces(&node), traces);
    }
    for empty in [json!([]), Value::Null] {
        succeed(&node, gc(&conf(), empty));
        assert_no_pod_left(&node);
    }
}

#[test]
fn gc_keeps_other_networks_out_of_it() {
    let node = node();
    let [pod, other] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    let blue = conf_with(json!({ "name": "blue", "bridge": "blue0", "podcidr": "10.14.0.0/24" }));
    add(&node, &pod, &conf());
    let result = add(&node, &other, &blue);
    succeed(&node, gc(&conf(), json!([])));
    let mut prev = blue.clone();
    prev["prevResult"] = result;
    succeed(&node, CniCall::check(&other, &prev));
}

#[test]
fn status_is_ready_until_every_address_is_taken() {
    let node = node();
    let small = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
    succeed(&node, status(&small));
    let pods: Vec<_> = (0..6).map(|_| node.sandbox().unwrap()).collect();
    for pod in &pods[..5] {
        add(&node, pod, &small);
    }
    assert!(fail(&node, status(&small), 50).contains("10.13.0.0/29"));
    let before = traces(&node);
    let message = fail(&node, CniCall::add(&pods[5], &small), 11);
    assert!(message.contains("all addresses of podcidr 10.13.0.0/29 are taken"), "{message}");
    assert_eq!(traces(&node), before);
    del(&node, &pods[2], &small);
    succeed(&node, status(&small));
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
    pods[0].run(&node, &["ping", "-c1", "-W1", &freed]).unwrap();
}

#[test]
fn the_mtu_is_that_of_both_ends() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf_with(json!({ "mtu": 9000 })));
    let host = result["interfaces"][1]["name"].as_str().unwrap();
    assert!(node.run(&["ip", "link", "show", host]).unwrap().contains("mtu 9000"));
    assert!(pod.run(&node, &["ip", "link", "show", "eth0"]).unwrap().contains("mtu 9000"));
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
