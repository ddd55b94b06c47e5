//! delete and label.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;

use fake::{POLICY, answer, manifest, manifests, no_answer, node, order, ready_node, refuse, shop};
use lab::{Kind, PodSpec};
use serde_json::json;

#[test]
fn delete_takes_away_what_apply_has_made() {
    let node = ready_node("1.0.0");
    node.apply(&shop()).unwrap();
    let lines = node.delete(&shop()).unwrap();
    let policy = "networkpolicy.networking.k8s.io \"allow\" deleted";
    assert_eq!(lines, ["namespace \"shop\" deleted", "pod \"web\" deleted", policy]);
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
    assert_eq!(
        (order(&node), node.pods().unwrap().len()),
        (vec!["one ADD".into(), "one DEL".into()], 0)
    );
}

#[test]
fn what_is_missing_is_said_and_the_others_are_deleted() {
    let node = ready_node("1.0.0");
    node.apply(&shop()).unwrap();
    node.delete_object(Kind::NetworkPolicy, "shop", "allow").unwrap();
    let error = node.delete(&shop()).unwrap_err().to_string();
    assert_eq!(error, "networkpolicies \"allow\" not found in namespace shop");
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
    for (kind, expected) in [
        (Kind::Pod, "pods \"x\" not found in namespace shop"),
        (Kind::NetworkPolicy, "networkpolicies \"x\" not found in namespace shop"),
        (Kind::Namespace, "namespaces \"x\" not found"),
    ] {
        let error = node.delete_object(kind, "shop", "x").unwrap_err().to_string();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_namespaces_pods_go_before_its_policies_and_its_neighbours_stay() {
    let node = ready_node("1.0.0");
    node.apply(&shop()).unwrap();
    node.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop-2}}").unwrap();
    node.apply(&POLICY.replace("namespace: shop", "namespace: shop-2")).unwrap();
    node.run_pod(PodSpec::new("web").namespace("shop-2")).unwrap();
    answer(&node, "one.DEL", "cp -r /run/lab/manifests seen");
    node.delete_object(Kind::Namespace, "", "shop").unwrap();
    let seen = node.sh("ls /run/fake/seen").unwrap();
    for name in ["networkpolicy_shop_allow.yaml", "namespace_shop.yaml", "pod_shop_web.yaml"] {
        assert!(seen.contains(name), "{name}: {seen}");
    }
    let namespace = fs::read_to_string(node.path("/run/fake/seen/namespace_shop.yaml")).unwrap();
    assert!(namespace.contains("deletionTimestamp") && namespace.contains("Terminating"));
    let left =
        ["namespace_default", "namespace_shop-2", "networkpolicy_shop-2_allow", "pod_shop-2_web"];
    assert_eq!(manifests(&node), left.map(|name| format!("{name}.yaml")));
}

#[test]
fn a_namespace_stays_while_a_pod_of_it_cannot_go() {
    let node = ready_node("1.0.0");
    node.apply(&shop()).unwrap();
    refuse(&node, "one.DEL");
    let error = format!("{:#}", node.delete_object(Kind::Namespace, "", "shop").unwrap_err());
    assert!(error.starts_with("pod \"web\": failed to destroy network"), "{error}");
    assert_eq!(manifests(&node).len(), 4);
    no_answer(&node, "one.DEL");
    node.delete_object(Kind::Namespace, "", "shop").unwrap();
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}

#[test]
fn the_namespace_default_is_not_deleted() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a")).unwrap();
    let error = node.delete_object(Kind::Namespace, "", "default").unwrap_err().to_string();
    assert_eq!(error, "namespaces \"default\" is forbidden: it may not be deleted");
    assert_eq!((node.pods().unwrap().len(), manifests(&node).len()), (1, 2));
}

#[test]
fn labels_are_set_and_removed_on_the_pod_and_in_its_manifest() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a").label("app", "web").label("old", "1")).unwrap();
    let changes = [("app", Some("api")), ("old", None), ("none", None), ("new", Some("x"))];
    node.label(Kind::Pod, "default", "a", &changes).unwrap();
    let expected = json!({ "app": "api", "new": "x" });
    let pod = manifest(&node, "pod_default_a.yaml").unwrap();
    assert_eq!(
        (&pod["metadata"]["labels"], &pod["status"]["podIP"]),
        (&expected, &json!("10.0.0.2"))
    );
    assert_eq!(json!(node.pod("default", "a").unwrap().spec.labels), expected);
    let error = node.label(Kind::Pod, "default", "b", &changes).unwrap_err().to_string();
    assert_eq!(error, "pods \"b\" not found in namespace default");
}

#[test]
fn a_namespace_never_loses_the_label_with_its_name() {
    let node = node();
    const NAME: &str = "kubernetes.io/metadata.name";
    node.apply(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: a, labels: {{{NAME}: b}}}}}}"
    ))
    .unwrap();
    let labels = || manifest(&node, "namespace_a.yaml").unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels(), json!({ NAME: "a" }));
    node.label(Kind::Namespace, "", "a", &[(NAME, None), ("team", Some("x"))]).unwrap();
    assert_eq!(labels(), json!({ NAME: "a", "team": "x" }));
    node.label(Kind::Namespace, "", "a", &[("team", None)]).unwrap();
    assert_eq!(labels(), json!({ NAME: "a" }));
    let error = node.label(Kind::Namespace, "", "b", &[]).unwrap_err().to_string();
    assert_eq!(error, "namespaces \"b\" not found");
    node.label(Kind::NetworkPolicy, "default", "a", &[]).unwrap_err();
}
