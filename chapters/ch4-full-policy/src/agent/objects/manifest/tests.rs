//! JSON and YAML are read alike.

use super::*;

/// A pod with these labels.
fn pod(labels: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "p", "labels": {labels}}}}}"#
    )
}

/// The same text as JSON, and as YAML, which a comment makes of it.
fn both(text: &str) -> [Result<Vec<Object>>; 2] {
    [parse(text), parse(&format!("# YAML\n{text}"))]
}

#[test]
fn what_is_wrong_is_told_by_its_fields_name() {
    for read in both(&pod(r#"{"app": 0}"#)) {
        let error = read.unwrap_err().to_string();
        assert!(error.starts_with(r#"Pod "p": metadata.labels.app: "#), "{error}");
    }
}

#[test]
fn a_key_that_stands_there_twice_hides_none() {
    for labels in [r#"{"app": "a", "app": "b"}"#, r#"{"app": {"x": [{"y": 1, "y": 1}]}}"#] {
        for read in both(&pod(labels)) {
            assert!(read.is_err(), "{labels}");
        }
    }
}

#[test]
fn all_that_json_has_is_read() {
    let odd = r#"{"app": "a\u00e9\n", "b": ""}, "x": [1, -1, 1.5, true, null, {}, []]"#;
    for read in both(&pod("{}").replace("{}", odd)) {
        let [Object::Pod(pod)] = &read.unwrap()[..] else { panic!() };
        assert_eq!(pod.metadata.labels.as_ref().unwrap()["app"], "aé\n");
    }
}

#[test]
fn services_and_their_slices_are_no_problem_and_nothing_to_follow() {
    for (version, kind) in [("v1", "Service"), ("discovery.k8s.io/v1", "EndpointSlice")] {
        let object =
            format!(r#"{{"apiVersion": "{version}", "kind": "{kind}", "metadata": {{}}}}"#);
        for read in both(&object) {
            assert!(read.unwrap().is_empty(), "{kind}");
        }
        let beside = format!("{object}\n---\n{}", pod("{}"));
        assert_eq!(parse(&beside).unwrap().len(), 1);
        assert!(parse(&object.replace("v1", "v2")).is_err(), "{kind}");
    }
    assert!(parse("# nothing").is_err());
}
