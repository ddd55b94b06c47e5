//! The directory of manifests: what an agent learns of pods, and when.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;

use fake::{answer, manifest, manifests, no_answer, node, ready_node, refuse, wait_until};
use lab::{Kind, Phase, PodSpec};
use serde_json::{Value, json};

const RESULT: &str = r#"echo '{ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.2/24" }] }'"#;

/// The manifest without what is different each time, which must look as Kubernetes writes it.
fn normal(mut manifest: Value) -> Value {
    let metadata = manifest["metadata"].as_object_mut().unwrap();
    for key in ["creationTimestamp", "deletionTimestamp"] {
        if let Some(time) = metadata.get_mut(key) {
            let digits = time.as_str().unwrap().replace(|c: char| c.is_ascii_digit(), "0");
            assert_eq!(digits, "0000-00-00T00:00:00Z");
            *time = json!("some time");
        }
    }
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    metadata["uid"] = json!("some uid");
    manifest
}

/// A copy of a manifest that the plugin made during its call.
fn copied(node: &lab::Node, name: &str) -> Value {
    serde_json::from_slice(&fs::read(node.path(format!("/run/fake/{name}"))).unwrap()).unwrap()
}

#[test]
fn a_new_node_has_the_namespace_default() {
    let node = node();
    let expected = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": "default", "uid": "some uid", "creationTimestamp": "some time",
            "labels": { "kubernetes.io/metadata.name": "default" },
        },
        "status": { "phase": "Active" },
    });
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
    assert_eq!(normal(manifest(&node, "namespace_default.yaml").unwrap()), expected);
}

#[test]
fn a_pods_manifest_is_there_before_add_and_until_del_is_done() {
    let node = ready_node("1.0.0");
    let copy = |to: &str| format!("cp /run/lab/manifests/pod_shop_web.yaml {to}");
    answer(&node, "one.ADD", &format!("{}; ls /run/lab/manifests >add.ls; {RESULT}", copy("add")));
    answer(&node, "one.DEL", &copy("del"));
    let pod = node.run_pod(PodSpec::new("web").namespace("shop").label("app", "web")).unwrap();

    let mut expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "some uid",
            "creationTimestamp": "some time", "labels": { "app": "web" },
        },
        "spec": { "nodeName": node.name() },
        "status": { "phase": "Pending" },
    });
    assert_eq!(normal(copied(&node, "add")), expected);
    let names = fs::read_to_string(node.path("/run/fake/add.ls")).unwrap();
    assert_eq!(names, "namespace_default.yaml\nnamespace_shop.yaml\npod_shop_web.yaml\n");

    expected["status"] =
        json!({ "phase": "Running", "podIP": "10.0.0.2", "podIPs": [{ "ip": "10.0.0.2" }] });
    let running = manifest(&node, "pod_shop_web.yaml").unwrap();
    assert_eq!(running["metadata"]["uid"], pod.uid);
    assert_eq!(normal(running), expected);

    node.remove_pod("shop", "web").unwrap();
    expected["metadata"]["deletionTimestamp"] = json!("some time");
    assert_eq!(normal(copied(&node, "del")), expected);
    assert_eq!(manifests(&node), ["namespace_default.yaml", "namespace_shop.yaml"]);
}

#[test]
fn a_pod_without_network_is_pending_and_has_no_address() {
    let node = node();
    node.run_pod(PodSpec::new("a")).unwrap_err();
    let status = || manifest(&node, "pod_default_a.yaml").unwrap()["status"].clone();
    assert_eq!(status(), json!({ "phase": "Pending" }));
    node.write_config("10-net.conf", &fake::conf("1.0.0").to_string()).unwrap();
    refuse(&node, "one.ADD");
    node.sync().unwrap();
    assert_eq!(node.pod("default", "a").unwrap().phase, Phase::ContainerCreating);
    assert_eq!(status(), json!({ "phase": "Pending" }));
    no_answer(&node, "one.ADD");
    node.sync().unwrap();
    assert_eq!(status()["podIP"], "10.0.0.2");
}

#[test]
fn a_pod_whose_del_fails_goes_on_terminating_with_its_address() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a")).unwrap();
    refuse(&node, "one.DEL");
    node.remove_pod("default", "a").unwrap_err();
    let first = manifest(&node, "pod_default_a.yaml").unwrap();
    assert_eq!(first["status"]["podIP"], "10.0.0.2");
    // An earlier time of deletion, to see that it is kept.
    let mut pod: Value =
        serde_json::from_slice(&fs::read(node.path("/run/lab/pods/default_a")).unwrap()).unwrap();
    assert!(pod["deleted"].as_u64() >= pod["created"].as_u64());
    pod["deleted"] = json!(86_400);
    fs::write(node.path("/run/lab/pods/default_a"), pod.to_string()).unwrap();
    node.sync().unwrap();
    let second = manifest(&node, "pod_default_a.yaml").unwrap();
    assert_eq!(second["metadata"]["deletionTimestamp"], "1970-01-02T00:00:00Z");
    no_answer(&node, "one.DEL");
    node.sync().unwrap();
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}

#[test]
fn a_pod_keeps_the_label_that_it_gets_during_its_add() {
    let node = ready_node("1.0.0");
    let wait = format!("echo >asked; until [ -e go ]; do sleep 0.01; done; {RESULT}");
    answer(&node, "one.ADD", &wait);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| node.run_pod(PodSpec::new("a").label("app", "a")).unwrap());
        wait_until("ADD is called", || node.path("/run/fake/asked").exists());
        node.label(Kind::Pod, "default", "a", &[("app", Some("b")), ("more", Some(""))]).unwrap();
        fs::write(node.path("/run/fake/go"), "").unwrap();
        assert_eq!(run.join().unwrap().spec, PodSpec::new("a").label("app", "b").label("more", ""));
    });
    let manifest = manifest(&node, "pod_default_a.yaml").unwrap();
    assert_eq!(manifest["metadata"]["labels"], json!({ "app": "b", "more": "" }));
    assert_eq!(manifest["status"]["phase"], "Running");
    assert_eq!(node.pod("default", "a").unwrap().spec.labels["app"], "b");
}

#[test]
fn many_threads_lose_no_change_of_one_object() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a")).unwrap();
    let keys: Vec<_> = (0..8).map(|thread| format!("key{thread}")).collect();
    std::thread::scope(|scope| {
        for key in &keys {
            let (node, change) = (&node, [(key.as_str(), Some("yes"))]);
            scope.spawn(move || {
                node.run_pod(PodSpec::new(key).namespace("new")).unwrap();
                node.label(Kind::Pod, "default", "a", &change).unwrap();
                node.label(Kind::Namespace, "", "new", &change).unwrap();
            });
        }
    });
    let labels = |file: &str| manifest(&node, file).unwrap()["metadata"]["labels"].clone();
    for key in &keys {
        assert_eq!(labels("pod_default_a.yaml")[key], "yes");
        assert_eq!(labels("namespace_new.yaml")[key], "yes");
    }
    assert_eq!(node.pod("default", "a").unwrap().spec.labels.len(), 8);
    assert_eq!(manifests(&node).len(), 2 + 1 + 8);
}

#[test]
fn any_text_can_be_written_and_removed_by_name() {
    let node = node();
    node.write_manifest("broken.yaml", "a: b: c").unwrap();
    let text = fs::read_to_string(node.path("/run/lab/manifests/broken.yaml")).unwrap();
    assert_eq!((text.as_str(), manifests(&node).len()), ("a: b: c", 2));
    node.remove_manifest("broken.yaml").unwrap();
    node.remove_manifest("broken.yaml").unwrap();
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}

#[test]
fn objects_are_listed_by_namespace_and_name_and_a_broken_one_is_said() {
    let node = node();
    for (namespace, name) in [("b", "a"), ("a-b", "b"), ("a-b", "a"), ("a", "a")] {
        node.run_pod(PodSpec::new(name).namespace(namespace)).unwrap_err(); // it is Pending
    }
    node.write_manifest(".pod_a_a.yaml", "a temporary file").unwrap();
    let names = |object: &Value| {
        ["namespace", "name"].map(|key| object["metadata"][key].as_str().unwrap().to_string())
    };
    let pods: Vec<_> = node.objects(Kind::Pod).unwrap().iter().map(names).collect();
    assert_eq!(pods, [["a", "a"], ["a-b", "a"], ["a-b", "b"], ["b", "a"]]);
    assert_eq!(node.object(Kind::Pod, "a", "b").unwrap(), None);
    assert_eq!(names(&node.object(Kind::Pod, "a", "a").unwrap().unwrap()), pods[0]);

    node.write_manifest("networkpolicy_a_x.yaml", "a: b: c").unwrap();
    let error = node.objects(Kind::NetworkPolicy).unwrap_err().to_string();
    assert_eq!(error, "the manifest networkpolicy_a_x.yaml is broken");
}
