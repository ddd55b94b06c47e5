//! What the kernel takes, at its limit and one beyond.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::{CniCall, Node, Sandbox};
use plugin::{add, address, assert_no_pod_left, conf, conf_with, del, fail, node, succeed, traces};
use serde_json::{Value, json};

/// ADD, CHECK and DEL that must succeed, with one variable changed.
fn comes_and_goes(node: &Node, pod: &Sandbox, conf: &Value, (name, value): (&str, &str)) {
    let result = succeed(node, CniCall::add(pod, conf).env(name, value)).json().unwrap();
    let mut check = conf.clone();
    check["prevResult"] = result;
    succeed(node, CniCall::check(pod, &check).env(name, value));
    succeed(node, CniCall::del(pod, conf).env(name, value));
    assert_no_pod_left(node);
}

/// ADD refuses it by its name, before anything changes; DEL succeeds.
fn is_refused(node: &Node, pod: &Sandbox, conf: &Value, code: u64, name: &str) {
    let before = traces(node);
    let message = fail(node, CniCall::add(pod, conf), code);
    assert!(message.contains(name), "{message}");
    del(node, pod, conf);
    assert_eq!(traces(node), before, "{name}");
}

#[test]
fn a_pods_name_of_any_length_fits_the_alias() {
    let node = node();
    let namespace = "n".repeat(63);
    let write = |file: &str, object: Value| node.write_manifest(file, &object.to_string()).unwrap();
    let metadata = json!({ "name": namespace });
    write(
        "namespace.yaml",
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }),
    );
    // With the namespace and '/': one less than the alias takes, as much, one more, and the most.
    for length in [1, 189, 190, 191, 253] {
        let pod = node.sandbox().unwrap();
        let name = "p".repeat(length);
        let metadata = json!({ "namespace": namespace, "name": name, "uid": pod.id() });
        let spec = json!({ "nodeName": node.name() });
        write(
            "pod.yaml",
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }),
        );
        let args =
            format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={}", pod.id());
        let call = CniCall::add(&pod, &conf()).env("CNI_ARGS", args);
        let result = succeed(&node, call).json().unwrap();
        let host = result["interfaces"][1]["name"].as_str().unwrap();
        let link = node.run(&["ip", "-j", "link", "show", "dev", host]).unwrap();
        let link: Value = serde_json::from_str(&link).unwrap();
        let whole = format!("{namespace}/{name}");
        assert_eq!(link[0]["ifalias"], whole[..whole.len().min(254)], "{length}");
        del(&node, &pod, &conf());
    }
}

#[test]
fn a_container_id_may_be_of_any_length() {
    let node = node();
    for length in [1, 64, 255, 256, 4096, 100_000] {
        let pod = node.sandbox().unwrap();
        let id = "c".repeat(length);
        comes_and_goes(&node, &pod, &conf(), ("CNI_CONTAINERID", &id));
    }
}

#[test]
fn names_of_links_may_be_fifteen_long() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let conf = |bridge: &str| conf_with(json!({ "bridge": bridge, "podcidr": "10.14.0.0/24" }));
    comes_and_goes(&node, &pod, &conf("b23456789012345"), ("CNI_IFNAME", "e23456789012345"));
    is_refused(&node, &pod, &conf("b234567890123456"), 7, "bridge");
}

#[test]
fn a_networks_name_may_be_as_long_as_its_nftables_table_allows() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let conf = |length| conf_with(json!({ "name": "n".repeat(length) }));
    comes_and_goes(&node, &pod, &conf(247), ("CNI_ARGS", ""));
    let status = |length| CniCall::new("STATUS").stdin(conf(length).to_string());
    succeed(&node, status(247));
    for length in [248, 255, 256, 5000] {
        is_refused(&node, &pod, &conf(length), 7, "name must be at most 247");
        fail(&node, status(length), 7);
    }
}

#[test]
fn a_lease_dir_may_be_as_long_as_a_path() {
    let node = node();
    let pod = node.sandbox().unwrap();
    // /run, then folders of 200 letters, and the network's name at the end.
    let conf = |length: usize| {
        let folders = (length - "/run/ebpfcni".len()) / 201;
        let rest = length - "/run/ebpfcni".len() - folders * 201;
        let path = format!(
            "/run{}/{}",
            format!("/{}", "d".repeat(200)).repeat(folders),
            "r".repeat(rest - 1)
        );
        assert_eq!(path.len() + "/ebpfcni".len(), length);
        conf_with(json!({ "leaseDir": path }))
    };
    let longest = 4095 - "/255.255.255.255@veth0123456789a".len();
    comes_and_goes(&node, &pod, &conf(longest), ("CNI_ARGS", ""));
    is_refused(&node, &pod, &conf(longest + 1), 7, "leaseDir");
    is_refused(&node, &pod, &conf(9000), 7, "leaseDir");
    let folder = json!({ "leaseDir": format!("/run/{}", "d".repeat(256)) });
    is_refused(&node, &pod, &conf_with(folder), 5, "leaseDir");
}

#[test]
fn an_mtu_may_be_the_least_and_the_most() {
    let node = node();
    let pod = node.sandbox().unwrap();
    for mtu in [68, 65535] {
        comes_and_goes(&node, &pod, &conf_with(json!({ "mtu": mtu })), ("CNI_ARGS", ""));
    }
}

/// Else the sandbox of a pod that never came could never go.
#[test]
fn del_takes_every_configuration_that_add_refuses() {
    let node = node();
    let [pod, running] = [node.sandbox().unwrap(), node.sandbox().unwrap()];
    add(&node, &running, &conf());
    let refused = [
        (7, json!({ "name": null })),
        (7, json!({ "name": "../up" })),
        (6, json!({ "name": 5 })),
        (7, json!({ "podcidr": null })),
        (7, json!({ "podcidr": "nonsense" })),
        (6, json!({ "podcidr": 24 })),
        (7, json!({ "bridge": "br%d" })),
        (7, json!({ "bridge": "much too long for a bridge" })),
        (6, json!({ "bridge": true })),
        (7, json!({ "mtu": 1 })),
        (6, json!({ "mtu": "1500" })),
        (6, json!({ "ipMasq": "yes" })),
        (7, json!({ "leaseDir": "relative" })),
        (5, json!({ "leaseDir": "/proc/nowhere" })),
        (5, json!({ "leaseDir": "/etc/hostname" })),
        (5, json!({ "leaseDir": "/run/\u{0}" })),
    ];
    for (code, change) in &refused {
        is_refused(&node, &pod, &conf_with(change.clone()), *code, "");
    }
    // What was wrong only since the pod runs: its link goes, and with a good name its lease, too.
    let small = |change: &Value| {
        let mut conf = conf_with(json!({ "podcidr": "10.13.0.0/29" }));
        conf.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        conf
    };
    for (_, change) in
        refused.iter().filter(|(_, it)| it.get("name").or(it.get("leaseDir")).is_none())
    {
        let pod = node.sandbox().unwrap();
        let address = address(&add(&node, &pod, &small(&json!({}))));
        del(&node, &pod, &small(change));
        let left = traces(&node);
        assert!(!left.contains(&format!("{address}@")), "{change}: {left}");
    }
}
