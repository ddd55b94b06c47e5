//! DEL, CHECK, GC and STATUS on a real kernel: what each must do, and must not.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Sandbox};
use plugin::{
    add, address, assert_no_pod_left, conf, conf_with, del, fail, node, ping, succeed, traces,
};
use serde_json::{Value, json};

fn gc(conf: &Value, valid: Value) -> CniCall {
    let mut conf = conf.clone();
    conf["cni.dev/valid-attachments"] = valid;
    CniCall::new("GC").env("CNI_PATH", "/opt/cni/bin").stdin(conf.to_string())
}

fn status(conf: &Value) -> CniCall {
    CniCall::new("STATUS").stdin(conf.to_string())
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
