//! apply.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use fake::{POLICY, manifest, no_answer, node, order, ready_node, refuse, shop};
use lab::{Kind, Node};
use serde_json::json;

/// The inodes of all manifests: a file that is written again is another one.
fn inodes(node: &Node) -> String {
    node.sh("cd /run/lab/manifests; stat -c '%n %i' *").unwrap()
}

#[test]
fn objects_are_created_then_unchanged_then_configured() {
    let node = ready_node("1.0.0");
    let said = |what: [&str; 3]| {
        let names = ["namespace/shop", "pod/web", "networkpolicy.networking.k8s.io/allow"];
        names.iter().zip(what).map(|(name, what)| format!("{name} {what}")).collect::<Vec<_>>()
    };
    assert_eq!(node.apply(&shop()).unwrap(), said(["created"; 3]));
    let before = inodes(&node);
    assert_eq!(node.apply(&shop()).unwrap(), said(["unchanged"; 3]));
    assert_eq!(inodes(&node), before);
    let changed = shop()
        .replace("team: a", "team: b")
        .replace("podSelector: {}", "podSelector: {matchLabels: {}}");
    assert_eq!(node.apply(&changed).unwrap(), said(["configured", "unchanged", "configured"]));
    let changed = changed.replace("app: web}}}\n---", "app: api}}}\n---");
    assert_eq!(node.apply(&changed).unwrap(), said(["unchanged", "configured", "unchanged"]));
    assert_eq!(node.pod("shop", "web").unwrap().spec.labels["app"], "api");
    let pod = manifest(&node, "pod_shop_web.yaml").unwrap();
    assert_eq!(pod["metadata"]["labels"], json!({ "app": "api" }));
    assert_eq!(order(&node), ["one ADD"]);
}

#[test]
fn a_policys_manifest_is_what_was_applied_and_keeps_its_uid() {
    let node = node();
    let policy = POLICY.replace(", namespace: shop", ", uid: theirs, resourceVersion: '7'");
    node.apply(&policy).unwrap();
    let first = manifest(&node, "networkpolicy_default_allow.yaml").unwrap();
    let peer = json!({ "podSelector": { "matchLabels": { "app": "web" } } });
    assert_eq!(first["spec"], json!({ "podSelector": {}, "ingress": [{ "from": [peer] }] }));
    let metadata = first["metadata"].as_object().unwrap();
    let keys: Vec<_> = metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["name", "namespace", "uid", "creationTimestamp"]);
    assert_eq!((&metadata["namespace"], metadata["uid"] == "theirs"), (&json!("default"), false));

    node.apply(&policy.replace("app: web", "app: api")).unwrap();
    let second = manifest(&node, "networkpolicy_default_allow.yaml").unwrap();
    assert!(second["spec"] != first["spec"] && second["metadata"] == first["metadata"]);
}

#[test]
fn a_pod_keeps_its_containers_and_what_is_no_list_changes_nothing() {
    let node = ready_node("1.0.0");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
        "spec": {
            "containers": [{ "name": "web", "ports": [{ "name": "http", "containerPort": 80 }] }],
            "initContainers": [{ "name": "sidecar", "restartPolicy": "Always" }],
        },
    });
    let mut wrong = pod.clone();
    wrong["spec"]["initContainers"] = json!("sidecar");
    let error = node.apply(&wrong.to_string()).unwrap_err();
    assert!(error.to_string().contains("spec.initContainers is no list"), "{error:#}");
    assert_eq!(node.pods().unwrap(), []);
    node.apply(&pod.to_string()).unwrap();
    let there = manifest(&node, "pod_default_web.yaml").unwrap();
    for field in ["containers", "initContainers"] {
        assert_eq!(there["spec"][field], pod["spec"][field]);
    }
}

#[test]
fn a_broken_manifest_is_replaced() {
    let node = node();
    node.write_manifest("networkpolicy_default_allow.yaml", "a: b: c").unwrap();
    let lines = node.apply(&POLICY.replace(", namespace: shop", "")).unwrap();
    assert_eq!(lines, ["networkpolicy.networking.k8s.io/allow configured"]);
    assert!(manifest(&node, "networkpolicy_default_allow.yaml").is_some());
}

#[test]
fn lists_are_their_items() {
    let node = node();
    let item = |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [item("a"), item("b")] });
    assert_eq!(
        node.apply(&list.to_string()).unwrap(),
        ["namespace/a created", "namespace/b created"]
    );
    assert_eq!(node.objects(Kind::Namespace).unwrap().len(), 3);
}

#[test]
fn a_wrong_document_is_refused_by_document_and_field_and_nothing_is_changed() {
    let node = ready_node("1.0.0");
    let pod = |metadata: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}}}");
    let cases = [
        ("a: b: c".into(), "no YAML: "),
        ("[]".into(), "document 2: kind is missing"),
        ("kind: Deployment".into(), "document 2: kind \"Deployment\" is none that the lab knows"),
        ("kind: Pod".into(), "document 2: Pod: apiVersion is \"\", it must be \"v1\""),
        (
            POLICY.replace("networking.k8s.io/v1", "v1"),
            "document 2: NetworkPolicy \"allow\": apiVersion is \"v1\", it must be \"networking.k8s.io/v1\"",
        ),
        (pod(""), "document 2: Pod: metadata.name is missing"),
        (pod("name: 7"), "document 2: Pod: metadata.name is no string"),
        (pod("name: ../a"), "document 2: Pod \"../a\": metadata.name: \"../a\" is no name"),
        (pod("name: a, namespace: ../a"), "document 2: Pod \"a\": metadata.namespace: \"../a\""),
        (pod("name: a, labels: [b]"), "document 2: Pod \"a\": metadata.labels is no map"),
        ("{kind: List, items: [{kind: Pod}]}".into(), "document 2: item 1: Pod: apiVersion"),
        ("{kind: List}".into(), "document 2: List: items is no list"),
        (pod("name: a, namespace: nowhere"), "Pod \"a\": namespaces \"nowhere\" not found"),
        (POLICY.into(), "NetworkPolicy \"allow\": namespaces \"shop\" not found"),
        (pod("name: a}, spec: {hostNetwork: true"), "Pod \"a\": spec.hostNetwork"),
        (pod("name: a}, spec: {nodeName: b"), "Pod \"a\": spec.nodeName is not test-"),
    ];
    let before = inodes(&node);
    for (text, expected) in cases {
        let good = pod("name: good");
        let error = format!("{:#}", node.apply(&format!("{good}\n---\n{text}")).unwrap_err());
        assert!(error.starts_with(expected) && !error.contains('\n'), "{text}: {error}");
        assert_eq!((inodes(&node), order(&node).len()), (before.clone(), 0), "{text}");
    }
    assert_eq!(node.apply("# nothing\n---\n").unwrap_err().to_string(), "there are no objects");
}

#[test]
fn what_yaml_takes_for_something_else_is_no_label() {
    let node = ready_node("1.0.0");
    let pod = |value: &str| {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a, labels: {{key: {value}}}}}}}")
    };
    for value in [
        "y",
        "yes",
        "on",
        "NO",
        "true",
        "null",
        "1",
        "1.10",
        "0123",
        "1e3",
        "[a]",
        "123456789012345678901234567890",
        "",
    ] {
        let error = format!("{:#}", node.apply(&pod(value)).unwrap_err());
        let expected =
            "document 1: Pod \"a\": metadata.labels: key is no string: put its value in quotes";
        assert_eq!(error, expected, "{value}");
    }
    for (value, expected) in [("'yes'", "yes"), ("\"1.10\"", "1.10"), ("v1", "v1"), ("''", "")] {
        node.apply(&pod(value)).unwrap();
        let manifest = manifest(&node, "pod_default_a.yaml").unwrap();
        assert_eq!(manifest["metadata"]["labels"]["key"], expected);
    }
}

#[test]
fn a_pods_namespace_may_come_earlier_but_not_later() {
    let node = ready_node("1.0.0");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: new}}";
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: new}}";
    node.apply(&format!("{pod}\n---\n{namespace}")).unwrap_err();
    node.apply(&format!("{namespace}\n---\n{pod}")).unwrap();
    node.pod("new", "a").unwrap();
}

#[test]
fn a_refused_pod_is_created_all_the_same() {
    let node = ready_node("1.0.0");
    refuse(&node, "one.ADD");
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}}";
    assert_eq!(node.apply(pod).unwrap(), ["pod/a created"]);
    no_answer(&node, "one.ADD");
    node.sync().unwrap();
    assert!(node.pod("default", "a").unwrap().ip.is_some());
}
