//! The protocol: environment and JSON in, JSON out, exit status (SPEC 1.1.0).

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::os::unix::ffi::OsStrExt as _;

use lab::CniCall;
use plugin::{add, conf, conf_with, del, fail, node, succeed, traces};
use rscni_types::legacy;
use rscni_types::types::{CNIResultWithVersion, ErrorResult};
use serde_json::{Value, json};

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// An independent implementation reads our result and writes it as that version wants it.
fn as_the_oracle_writes_it(result: &Value) -> Value {
    let parsed: CNIResultWithVersion = serde_json::from_value(result.clone()).unwrap();
    let version = parsed.cni_version();
    let mut written = if version.is_legacy() {
        serde_json::to_value(legacy::CNIResult::new(version, parsed.into_result())).unwrap()
    } else {
        serde_json::to_value(parsed).unwrap()
    };
    if written["dns"] == json!({}) {
        written.as_object_mut().unwrap().remove("dns");
    }
    written
}

#[test]
fn every_version_gets_a_result_of_its_shape() {
    let node = node();
    for version in VERSIONS {
        let conf = conf_with(json!({ "cniVersion": version }));
        let pod = node.sandbox().unwrap();
        let result = add(&node, &pod, &conf);
        assert_eq!(result, as_the_oracle_writes_it(&result), "{version}");

        assert_eq!(result["cniVersion"], version);
        let interfaces = result["interfaces"].as_array().unwrap();
        let names: Vec<_> = interfaces.iter().map(|i| i["name"].as_str().unwrap()).collect();
        assert_eq!((names[0], names[2], names.len()), ("bridge0", "eth0", 3));
        assert_eq!(interfaces[2]["sandbox"], pod.netns());
        assert!(interfaces[..2].iter().all(|on_node| on_node.get("sandbox").is_none()));
        assert!(interfaces.iter().all(|i| i["mac"].as_str().unwrap().len() == 17));
        assert!(interfaces.iter().all(|i| i.get("mtu").is_some() == (version == "1.1.0")));
        let ip = &result["ips"][0];
        assert_eq!(ip["interface"], 2);
        assert_eq!(ip["gateway"], "10.13.0.1");
        assert_eq!(ip.get("version").is_some(), version < "1.0.0", "{version}");

        let prev = json!({ "cniVersion": version, "prevResult": result });
        let check = CniCall::check(&pod, &conf_with(prev.clone()));
        if version < "0.4.0" {
            assert!(fail(&node, check, 1).contains("CHECK"));
        } else {
            assert_eq!(succeed(&node, check).stdout, b"");
        }
        let output = succeed(&node, CniCall::del(&pod, &conf_with(prev)));
        assert_eq!(output.stdout, b"");
        pod.remove(&node).unwrap();
    }
}

#[test]
fn what_the_result_says_is_what_the_kernel_has() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let result = add(&node, &pod, &conf_with(json!({ "mtu": 1400 })));
    let show = |json: String| serde_json::from_str::<Value>(&json).unwrap()[0].clone();
    for interface in result["interfaces"].as_array().unwrap() {
        let name = interface["name"].as_str().unwrap();
        let ip = ["ip", "-j", "addr", "show", "dev", name];
        let kernel = show(match interface.get("sandbox") {
            Some(_) => pod.run(&node, &ip).unwrap(),
            None => node.run(&ip).unwrap(),
        });
        assert_eq!(kernel["address"], interface["mac"], "{name}");
        if name != "bridge0" {
            assert_eq!(kernel["mtu"], 1400, "{name}");
            assert_eq!(interface["mtu"], 1400, "{name}");
        }
    }
    let eth0 = show(pod.run(&node, &["ip", "-j", "-4", "addr", "show", "dev", "eth0"]).unwrap());
    assert_eq!(eth0["addr_info"][0]["local"], plugin::address(&result));
    assert_eq!(eth0["addr_info"][0]["prefixlen"], 24);
}

#[test]
fn version_echoes_the_version_asked_for_and_needs_nothing_else() {
    let node = node();
    for stdin in [r#"{"cniVersion":"0.4.0"}"#, r#"{"cniVersion":"9.9.9"}"#, "", "{"] {
        let output = succeed(&node, CniCall::new("VERSION").stdin(stdin.as_bytes()));
        let answer = output.json().unwrap();
        assert_eq!(answer["supportedVersions"], json!(VERSIONS));
        let asked = serde_json::from_str::<Value>(stdin).unwrap_or_default();
        let expected = asked["cniVersion"].as_str().unwrap_or("1.1.0");
        assert_eq!(answer["cniVersion"], expected, "stdin {stdin:?}");
    }
}

#[test]
fn unknown_versions_and_commands_before_their_version_are_error_1() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let no_version = conf_with(json!({ "cniVersion": null }));
    assert!(fail(&node, CniCall::add(&pod, &no_version), 1).contains("cniVersion is missing"));
    for version in ["9.9.9", "0.2.0", "1.0", ""] {
        let conf = conf_with(json!({ "cniVersion": version }));
        assert!(fail(&node, CniCall::add(&pod, &conf), 1).contains(&format!("{version:?}")));
        assert!(fail(&node, CniCall::del(&pod, &conf), 1).contains("1.1.0"));
    }
    let conf = conf_with(json!({ "cniVersion": "1.0.0", "cni.dev/valid-attachments": [] }));
    for command in ["GC", "STATUS"] {
        let call = CniCall::new(command).env("CNI_PATH", "/opt/cni/bin").stdin(conf.to_string());
        assert!(fail(&node, call, 1).contains(command));
    }
}

#[test]
fn one_error_names_all_missing_variables() {
    let node = node();
    let stdin = conf().to_string();
    let cases: [(&str, &[&str]); 4] = [
        ("ADD", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("CHECK", &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]),
        ("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"]),
        ("GC", &["CNI_PATH"]),
    ];
    for (command, variables) in cases {
        let message = fail(&node, CniCall::new(command).stdin(stdin.clone()), 4);
        for variable in variables {
            assert!(message.contains(variable), "{command}: {message}");
        }
    }
    for command in ["", "add", "FROB"] {
        let message = fail(&node, CniCall::new(command).stdin(stdin.clone()), 4);
        assert!(message.contains("CNI_COMMAND"), "{message}");
    }
}

#[test]
fn what_the_spec_calls_optional_may_be_missing() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let add = CniCall::add(&pod, &conf()).without("CNI_PATH").without("CNI_ARGS");
    succeed(&node, add);
    succeed(&node, CniCall::del(&pod, &conf()).without("CNI_PATH").without("CNI_NETNS"));
    plugin::assert_no_pod_left(&node);
}

#[test]
fn odd_variables_are_error_4_and_change_nothing() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let before = traces(&node);
    let long = "x".repeat(16);
    let cases = [
        ("CNI_CONTAINERID", "-starts-with-a-dash"),
        ("CNI_CONTAINERID", "../../etc/passwd"),
        ("CNI_CONTAINERID", "white space"),
        ("CNI_IFNAME", &long),
        ("CNI_IFNAME", "."),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "eth/0"),
        ("CNI_IFNAME", "eth:0"),
        ("CNI_IFNAME", "eth 0"),
        ("CNI_NETNS", "/run/netns/nowhere"),
        ("CNI_NETNS", "/proc/self/ns/mnt"),
        ("CNI_NETNS", "/proc/self/ns/net"),
        ("CNI_NETNS", "/etc/hostname"),
        ("CNI_NETNS", "/"),
        ("CNI_ARGS", "IgnoreUnknown=1;nonsense"),
    ];
    for (variable, value) in cases {
        let message = fail(&node, CniCall::add(&pod, &conf()).env(variable, value), 4);
        assert!(message.contains(variable) && message.contains(value), "{message}");
        assert_eq!(traces(&node), before, "{variable}={value}");
    }
    let latin1 = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let message = fail(&node, CniCall::add(&pod, &conf()).env("CNI_CONTAINERID", latin1), 4);
    assert!(message.contains("CNI_CONTAINERID is not UTF-8"), "{message}");
}

#[test]
fn a_fifo_instead_of_a_namespace_does_not_hang() {
    let node = node();
    let pod = node.sandbox().unwrap();
    node.run(&["mkfifo", "/run/fifo"]).unwrap();
    fail(&node, CniCall::add(&pod, &conf()).env("CNI_NETNS", "/run/fifo"), 4);
}

#[test]
fn wrong_values_are_refused_by_name_and_change_nothing() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let before = traces(&node);
    let cases = [
        (7, json!({ "name": null }), "name"),
        (7, json!({ "name": "../up" }), "../up"),
        (7, json!({ "podcidr": null }), "podcidr is missing"),
        (7, json!({ "podcidr": "10.13.0.0" }), "10.13.0.0"),
        (7, json!({ "podcidr": "10.13.0.5/24" }), "did you mean 10.13.0.0/24?"),
        (7, json!({ "podcidr": "10.13.0.0/30" }), "/8 to /29"),
        (7, json!({ "podcidr": "10.13.0.0/31" }), "/8 to /29"),
        (7, json!({ "podcidr": "10.13.0.0/32" }), "/8 to /29"),
        (7, json!({ "podcidr": "8.0.0.0/7" }), "/8 to /29"),
        (7, json!({ "podcidr": "10.13.0.0/33" }), "10.13.0.0/33"),
        (7, json!({ "podcidr": "fd00::/64" }), "IPv6"),
        (7, json!({ "podcidr": "127.0.0.0/8" }), "127.0.0.0/8"),
        (7, json!({ "podcidr": "224.0.0.0/8" }), "224.0.0.0/8"),
        (7, json!({ "bridge": "a name too long for a link" }), "bridge"),
        (7, json!({ "bridge": "" }), "bridge"),
        (7, json!({ "mtu": 67 }), "67"),
        (7, json!({ "mtu": 65536 }), "65536"),
        (7, json!({ "leaseDir": "relative" }), "leaseDir"),
        (6, json!({ "cniVersion": 1 }), "cniVersion"),
        (6, json!({ "podcidr": 24 }), "podcidr is 24"),
        (6, json!({ "mtu": "1500" }), "mtu"),
        (6, json!({ "mtu": -1 }), "mtu"),
        (6, json!({ "ipMasq": "yes" }), "ipMasq"),
        (6, json!({ "prevResult": "none" }), "prevResult"),
        (6, json!({ "cni.dev/valid-attachments": "all" }), "cni.dev/valid-attachments"),
    ];
    for (code, change, expected) in cases {
        let message = fail(&node, CniCall::add(&pod, &conf_with(change)), code);
        assert!(message.contains(expected), "{message:?} should contain {expected:?}");
        assert_eq!(traces(&node), before);
    }
}

#[test]
fn unknown_keys_are_ignored() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let more = json!({ "ipam": {}, "dns": {}, "capabilities": { "portMappings": true }, "x": [1] });
    add(&node, &pod, &conf_with(more));
}

#[test]
fn what_is_no_json_object_is_error_6() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let mut huge = br#"{"cniVersion":"1.0.0","name":""#.to_vec();
    huge.resize(10 << 20, b'x');
    let nested = "[".repeat(100_000);
    let inputs = [&b""[..], b"{", b"null", b"[]", b"\"text\"", b"{\"name\":\"\xff\xfe\"}", b"{}}"];
    for stdin in inputs.into_iter().chain([huge.as_slice(), nested.as_bytes()]) {
        for call in [CniCall::add(&pod, &conf()), CniCall::del(&pod, &conf())] {
            fail(&node, call.stdin(stdin), 6);
        }
    }
}

#[test]
fn an_error_is_one_json_document_in_the_version_asked_for() {
    let node = node();
    let pod = node.sandbox().unwrap();
    for version in VERSIONS.iter().chain(&["9.9.9"]) {
        let conf = conf_with(json!({ "cniVersion": version, "podcidr": "nonsense" }));
        let output = node.cni(&CniCall::add(&pod, &conf)).unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = output.json().unwrap();
        assert_eq!(error["cniVersion"], *version);
        serde_json::from_value::<ErrorResult>(error).unwrap();
    }
}

#[test]
fn the_result_of_the_plugin_before_us_is_passed_on() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let before = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{ "name": "lo0", "mac": "00:00:00:00:00:01" }],
        "ips": [{ "address": "192.0.2.7/24", "interface": 0 }],
        "dns": { "domain": "example" },
    });
    let result = add(&node, &pod, &conf_with(json!({ "prevResult": before })));
    assert_eq!(result, as_the_oracle_writes_it(&result));
    assert_eq!(result["interfaces"][0]["name"], "lo0");
    assert_eq!(result["interfaces"][3]["name"], "eth0");
    assert_eq!(result["ips"][0]["address"], "192.0.2.7/24");
    assert_eq!(result["ips"][1]["interface"], 3);
    assert_eq!(result["dns"]["domain"], "example");
    succeed(&node, CniCall::check(&pod, &conf_with(json!({ "prevResult": result }))));
    del(&node, &pod, &conf());
}

#[test]
fn a_reader_who_is_gone_is_a_failure_not_a_panic() {
    let node = node();
    let script = "CNI_COMMAND=VERSION /opt/cni/bin/ebpfcni </dev/null >/dev/full";
    let output = node.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
