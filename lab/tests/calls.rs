//! How the runtime calls plugins: environment, stdin, order.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::collections::BTreeMap;

use fake::{answer, calls, chain_node, conf, namespaces, no_answer, order, ready_node, refuse};
use lab::{Phase, PodSpec, RunPodError};
use serde_json::{Value, json};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The fake's answer to ADD.
fn result_of(plugin: &str) -> Value {
    json!({ "cniVersion": "1.1.0", "from": plugin, "ips": [{ "address": "10.0.0.2/24" }] })
}

fn with(mut conf: Value, key: &str, value: Value) -> Value {
    conf.as_object_mut().unwrap().insert(key.into(), value);
    conf
}

#[test]
fn a_plugin_gets_the_environment_that_containerd_gives_and_nothing_more() {
    let node = ready_node("1.0.0");
    let pod = node.run_pod(PodSpec::new("web").namespace("shop").label("app", "web")).unwrap();
    node.check_pod(&pod).unwrap();
    node.remove_pod("shop", "web").unwrap();

    let sandbox = pod.sandbox.as_ref().unwrap();
    let (id, uid) = (sandbox.id(), &pod.uid);
    assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    assert!(sandbox.netns().starts_with("/var/run/netns/cni-"), "{}", sandbox.netns());
    assert_eq!(uid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uid}");
    let args = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;\
         K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={uid}"
    );
    assert_eq!(order(&node), ["one ADD", "one CHECK", "one DEL"]);
    for call in calls(&node) {
        let expected = [
            ("CNI_ARGS", args.as_str()),
            ("CNI_COMMAND", &call.command),
            ("CNI_CONTAINERID", id),
            ("CNI_IFNAME", "eth0"),
            ("CNI_NETNS", sandbox.netns()),
            ("CNI_PATH", "/opt/cni/bin"),
            ("PATH", PATH),
        ];
        let expected: BTreeMap<_, _> =
            expected.map(|(name, value)| (name.to_string(), value.to_string())).into();
        assert_eq!(call.environment, expected);
    }
}

#[test]
fn status_and_gc_are_about_no_pod() {
    let node = ready_node("1.1.0");
    let pods = [PodSpec::new("a"), PodSpec::new("b")].map(|spec| node.run_pod(spec).unwrap());
    node.status().unwrap();
    node.gc().unwrap();
    let calls = &calls(&node)[2..];
    for (call, command) in calls.iter().zip(["STATUS", "GC"]) {
        let expected = [("CNI_COMMAND", command), ("CNI_PATH", "/opt/cni/bin"), ("PATH", PATH)];
        let expected = expected.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(call.environment, expected.into());
    }
    assert_eq!(calls[0].stdin, conf("1.1.0"));
    let ids = pods.map(|pod| pod.sandbox.unwrap().id().to_string());
    let valid = json!(ids.map(|id| json!({ "containerID": id, "ifname": "eth0" })));
    assert_eq!(calls[1].stdin, with(conf("1.1.0"), "cni.dev/valid-attachments", valid));
    assert_eq!(calls.len(), 2);
}

#[test]
fn stdin_is_the_configuration_and_check_and_del_get_what_add_answered() {
    let node = ready_node("1.0.0");
    let pod = node.run_pod(PodSpec::new("a")).unwrap();
    assert_eq!(pod.ip.unwrap().to_string(), "10.0.0.2");
    assert_eq!(pod.result, Some(result_of("one")));
    node.check_pod(&pod).unwrap();
    node.remove_pod("default", "a").unwrap();
    let got: Vec<_> = calls(&node).into_iter().map(|call| call.stdin).collect();
    let with_result = with(conf("1.0.0"), "prevResult", result_of("one"));
    assert_eq!(got, [conf("1.0.0"), with_result.clone(), with_result]);
}

#[test]
fn in_a_chain_add_passes_each_result_on_and_del_goes_backwards_with_the_last() {
    let node = chain_node("1.0.0");
    let pod = node.run_pod(PodSpec::new("a")).unwrap();
    assert_eq!(pod.result, Some(result_of("three")));
    node.check_pod(&pod).unwrap();
    node.remove_pod("default", "a").unwrap();

    let before: [(&str, &str, Option<&str>); 9] = [
        ("one", "ADD", None),
        ("two", "ADD", Some("one")),
        ("three", "ADD", Some("two")),
        ("one", "CHECK", Some("three")),
        ("two", "CHECK", Some("three")),
        ("three", "CHECK", Some("three")),
        ("three", "DEL", Some("three")),
        ("two", "DEL", Some("three")),
        ("one", "DEL", Some("three")),
    ];
    let calls = calls(&node);
    assert_eq!(calls.len(), before.len(), "{calls:#?}");
    for (call, (plugin, command, previous)) in calls.iter().zip(before) {
        let mut stdin = json!({ "cniVersion": "1.0.0", "name": "chain", "type": plugin });
        if plugin == "one" {
            stdin["x"] = json!(1);
        }
        if let Some(previous) = previous {
            stdin["prevResult"] = result_of(previous);
        }
        assert_eq!((call.plugin.as_str(), call.command.as_str()), (plugin, command));
        assert_eq!(call.stdin, stdin);
    }
}

#[test]
fn a_failed_add_is_followed_by_del_of_the_whole_chain_and_the_sandbox_is_gone() {
    let node = chain_node("1.0.0");
    refuse(&node, "two.ADD");
    let error = node.run_pod(PodSpec::new("a")).unwrap_err();
    let RunPodError::Plugin { error: result, .. } = &error else { panic!("{error}") };
    assert_eq!(result["code"], 11);
    let message = "failed to setup network for sandbox: plugin type=\"two\" failed (add): \
        not today: no reason";
    assert_eq!(error.to_string(), message);

    assert_eq!(order(&node), ["one ADD", "two ADD", "three DEL", "two DEL", "one DEL"]);
    let calls = calls(&node);
    for call in &calls {
        for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_ARGS"] {
            assert_eq!(call.environment[variable], calls[0].environment[variable]);
        }
        let result_of_one =
            (call.plugin == "two" && call.command == "ADD").then(|| result_of("one"));
        assert_eq!(call.stdin.get("prevResult"), result_of_one.as_ref());
    }
    let pod = node.pod("default", "a").unwrap();
    assert_eq!((pod.phase, pod.message.as_str()), (Phase::ContainerCreating, message));
    assert_eq!((pod.sandbox, pod.result, pod.ip), (None, None, None));
    assert_eq!(namespaces(&node), [""; 0]);
}

#[test]
fn the_next_try_after_a_failed_add_is_a_new_container() {
    let node = ready_node("1.0.0");
    refuse(&node, "one.ADD");
    node.run_pod(PodSpec::new("a")).unwrap_err();
    node.sync().unwrap();
    no_answer(&node, "one.ADD");
    node.sync().unwrap();
    node.sync().unwrap();
    assert_eq!(order(&node), ["one ADD", "one DEL", "one ADD", "one DEL", "one ADD"]);
    let calls = calls(&node);
    let id = |call: usize| calls[call].environment["CNI_CONTAINERID"].as_str();
    assert!(id(0) != id(2) && id(2) != id(4) && id(0) != id(4));
    let pod = node.pod("default", "a").unwrap();
    assert_eq!((pod.phase, pod.message.as_str()), (Phase::Running, ""));
    assert_eq!(pod.sandbox.unwrap().id(), id(4));
    assert_eq!(namespaces(&node).len(), 1);
}

#[test]
fn a_plugin_that_dies_without_a_word_is_said_with_all_that_it_wrote() {
    let node = ready_node("1.0.0");
    answer(&node, "one.ADD", "echo no JSON; echo a hint >&2; kill -9 $$");
    let error = node.run_pod(PodSpec::new("a")).unwrap_err().to_string();
    for part in ["signal: 9", "no JSON", "a hint"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(order(&node), ["one ADD", "one DEL"]);
}

#[test]
fn an_add_without_a_result_is_a_failed_add() {
    let node = ready_node("1.0.0");
    answer(&node, "one.ADD", "echo ADD is done");
    let error = node.run_pod(PodSpec::new("a")).unwrap_err().to_string();
    assert!(error.contains("ADD is done"), "{error}");
    assert_eq!(order(&node), ["one ADD", "one DEL"]);
    assert_eq!(namespaces(&node), [""; 0]);
}

/// An error result does not say whose it is.
#[test]
fn of_a_chain_the_plugin_that_failed_is_named_whatever_the_command() {
    let node = chain_node("1.1.0");
    let pod = node.run_pod(PodSpec::new("a")).unwrap();
    for command in ["CHECK", "STATUS", "GC", "DEL", "ADD"] {
        refuse(&node, &format!("two.{command}"));
        let error = match command {
            "CHECK" => format!("{:#}", node.check_pod(&pod).unwrap_err()),
            "STATUS" => format!("{:?}", node.status().unwrap()).replace('\\', ""),
            "GC" => format!("{:#}", node.gc().unwrap_err()),
            "DEL" => format!("{:#}", node.remove_pod("default", "a").unwrap_err()),
            _ => node.run_pod(PodSpec::new("b")).unwrap_err().to_string(),
        };
        let named = format!("plugin type=\"two\" failed ({})", command.to_lowercase());
        assert!(error.contains(&format!("{named}: not today: no reason")), "{error}");
        no_answer(&node, &format!("two.{command}"));
    }
    // One that says nothing of use, or is not there, is named as well.
    let cases = [
        ("echo no JSON", "no JSON"),
        ("kill -9 $$", "signal: 9"),
        ("rm /opt/cni/bin/two", "no JSON"),
        ("", "cannot run the plugin"),
    ];
    for (number, (script, why)) in cases.into_iter().enumerate() {
        answer(&node, "two.ADD", script);
        let error = node.run_pod(PodSpec::new(format!("pod{number}"))).unwrap_err().to_string();
        let named = "failed to setup network for sandbox: plugin type=\"two\" failed (add): ";
        assert!(error.starts_with(named) && error.contains(why), "{error}");
    }
}

#[test]
fn a_failing_del_keeps_the_pod_terminating_until_it_works() {
    let node = ready_node("1.0.0");
    let pod = node.run_pod(PodSpec::new("a")).unwrap();
    refuse(&node, "one.DEL");
    let error = format!("{:#}", node.remove_pod("default", "a").unwrap_err());
    let one = "plugin type=\"one\" failed (del)";
    assert_eq!(
        error,
        format!("failed to destroy network for sandbox: {one}: not today: no reason")
    );
    let stuck = node.pod("default", "a").unwrap();
    assert_eq!(stuck.phase, Phase::Terminating);
    assert_eq!(stuck.message, error);
    assert_eq!((&stuck.sandbox, &stuck.result), (&pod.sandbox, &pod.result));
    assert_eq!(namespaces(&node).len(), 1);

    node.sync().unwrap();
    assert_eq!(node.pods().unwrap().len(), 1);
    no_answer(&node, "one.DEL");
    node.sync().unwrap();
    assert_eq!(node.pods().unwrap(), []);
    assert_eq!(namespaces(&node), [""; 0]);
    let calls = calls(&node);
    assert_eq!(order(&node), ["one ADD", "one DEL", "one DEL", "one DEL"]);
    assert!(calls[1..].iter().all(|call| call == &calls[1]));
}
