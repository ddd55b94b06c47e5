//! Bad input: refused by its name, with the spec's code, and nothing has changed.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::os::unix::ffi::OsStrExt as _;

use lab::CniCall;
use plugin::{conf, conf_with, fail, node, succeed, traces};
use serde_json::json;

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
        ("CNI_IFNAME", "eth%d"),
        ("CNI_IFNAME", "%"),
        ("CNI_IFNAME", "all"),
        ("CNI_IFNAME", "default"),
        // Its last byte is a no-break space in Latin-1, which the kernel takes for a space.
        ("CNI_IFNAME", "eth\u{e0}"),
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
        (7, json!({ "bridge": "br%d" }), "br%d"),
        (7, json!({ "bridge": "br%%d" }), "br%%d"),
        (7, json!({ "bridge": "all" }), "all"),
        (7, json!({ "bridge": "default" }), "default"),
        (7, json!({ "bridge": ".." }), ".."),
        (7, json!({ "bridge": "br/0" }), "br/0"),
        (7, json!({ "bridge": "br:0" }), "br:0"),
        (7, json!({ "bridge": "br\u{7f}" }), "bridge"),
        (7, json!({ "mtu": 67 }), "67"),
        (7, json!({ "mtu": 65536 }), "65536"),
        (7, json!({ "leaseDir": "relative" }), "leaseDir"),
        (6, json!({ "cniVersion": 1.0 }), "cniVersion is 1.0: invalid type"),
        (6, json!({ "name": 5 }), "name is 5"),
        (6, json!({ "leaseDir": [] }), "leaseDir is []"),
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
fn the_specs_keys_are_ignored_in_silence() {
    let node = node();
    let pod = node.sandbox().unwrap();
    let more = json!({
        "ipam": {}, "dns": {}, "capabilities": { "portMappings": true }, "args": {},
        "runtimeConfig": {}, "disableCheck": true, "disableGC": true,
        "loadOnlyInlinedPlugins": true, "cni.dev/attachments": [], "cni.dev/whatever": 1,
    });
    let output = succeed(&node, CniCall::add(&pod, &conf_with(more)));
    assert_eq!(output.stderr, "");
}

#[test]
fn an_unknown_key_is_ignored_but_told_of() {
    let node = node();
    let cases = [
        ("ipmasq", Some("ipMasq")),
        ("ip_masq", Some("ipMasq")),
        ("podCIDR", Some("podcidr")),
        ("podcdir", Some("podcidr")),
        ("brigde", Some("bridge")),
        ("MTU", Some("mtu")),
        ("LeaseDirectory", None),
        ("isGateway", None),
        ("x", None),
        ("", None),
    ];
    for (key, meant) in cases {
        let pod = node.sandbox().unwrap();
        let mut conf = conf();
        conf[key] = json!([1]);
        for call in [CniCall::add(&pod, &conf), CniCall::new("STATUS").stdin(conf.to_string())] {
            let stderr = succeed(&node, call).stderr;
            assert!(stderr.contains(&format!("{key:?} is unknown")), "{key}: {stderr}");
            let told = stderr.split_once("did you mean ").map(|(_, it)| it.trim());
            assert_eq!(told, meant.map(|it| format!("{it:?}?")).as_deref(), "{key}: {stderr}");
        }
    }
    // Also when it is what makes the call fail.
    let pod = node.sandbox().unwrap();
    let conf = conf_with(json!({ "podcidr": null, "podCIDR": "10.13.0.0/24" }));
    let output = node.cni(&CniCall::add(&pod, &conf)).unwrap();
    assert!(output.stderr.contains(r#"did you mean "podcidr"?"#), "{output:?}");
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
