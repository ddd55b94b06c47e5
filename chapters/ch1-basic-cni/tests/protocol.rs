//! The protocol: environment and JSON in, JSON out, exit status (SPEC 1.1.0).

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use lab::CniCall;
use plugin::{add, conf, conf_with, del, fail, node, succeed};
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
