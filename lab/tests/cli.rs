//! The `lab` command, as people type it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use fake::cli::Lab;
use fake::runs;
use serde_json::Value;

#[test]
fn from_up_to_down() {
    let lab = Lab::up("all", false);
    let node = lab.node();
    assert_eq!(
        (node[0].as_str(), node[1].as_str(), node[3].as_str()),
        (&*lab.0, "NotReady", "none")
    );
    assert!(node[4].ends_with("message:Network plugin returns error: cni plugin not initialized"));
    assert_eq!(lab.ok(&["pods"]), "No resources found in default namespace.\n");

    assert_eq!(lab.ok(&["pod", "run", "a", "--labels", "app=web,tier=x"]), "pod/a created\n");
    let pods = lab.pods(&["--show-labels"]);
    assert_eq!(pods[0], ["NAME", "READY", "STATUS", "AGE", "IP", "LABELS"]);
    let [name, ready, status, _, ip, labels] = &pods[1][..] else { panic!("{pods:?}") };
    assert_eq!(
        [name, ready, status, ip, labels],
        ["a", "0/1", "Pending", "<none>", "app=web,tier=x"]
    );
    let error = lab.fails(&["exec", "a", "--", "true"]);
    assert_eq!(error, "pod a is Pending: it has no network yet");

    lab.configure();
    assert_eq!(lab.node()[1], "Ready");
    assert_eq!(lab.pods(&[])[1][1..3], ["1/1", "Running"]);
    assert_eq!(lab.pods(&[])[1][4], "10.0.0.2");
    let links = lab.ok(&["exec", "a", "--", "ip", "-o", "link"]);
    assert!(links.lines().count() == 1 && links.contains("lo"), "{links}");

    assert_eq!(lab.ok(&["pod", "rm", "a"]), "pod \"a\" deleted\n");
    assert_eq!(lab.ok(&["pods", "-A"]), "No resources found.\n");
    let holder = lab.holder();
    assert_eq!(lab.ok(&["down"]), format!("node/{} deleted\n", lab.0));
    assert!(!runs(holder) && !lab.entry().exists());
    assert_eq!(lab.ok(&["down"]), "");
}

#[test]
fn pods_have_namespaces_and_come_as_json() {
    let lab = Lab::up("namespaces", true);
    lab.ok(&["pod", "run", "a"]);
    lab.ok(&["pod", "run", "a", "-n", "shop"]);
    let columns = |row: &Vec<String>| [row[0].clone(), row[1].clone()];
    let all: Vec<_> = lab.pods(&["-A"]).iter().map(columns).collect();
    assert_eq!(all, [["NAMESPACE", "NAME"], ["default", "a"], ["shop", "a"]]);
    assert_eq!(lab.pods(&["-n", "shop"]).len(), 2);
    let json: Value = serde_json::from_str(&lab.ok(&["pods", "-n", "shop", "-o", "json"])).unwrap();
    assert_eq!((&json[0]["namespace"], &json[0]["phase"]), (&"shop".into(), &"Running".into()));
    assert_eq!(json[0]["result"]["from"], "one");
    lab.ok(&["pod", "rm", "a", "-n", "shop"]);
    assert_eq!(lab.pods(&["-A"]).len(), 2);
}

#[test]
fn the_exit_status_of_a_command_is_passed_on() {
    let lab = Lab::up("status", true);
    lab.ok(&["pod", "run", "a"]);
    for status in [0, 1, 7, 255] {
        let script = format!("exit {status}");
        for place in [&["node-exec"][..], &["exec", "a"]] {
            let output = lab.run(&[place, &["--", "sh", "-c", &script]].concat());
            assert_eq!(output.status.code(), Some(status), "{place:?}");
            assert_eq!(output.stderr, b"");
        }
    }
}

#[test]
fn up_twice_is_no_error_and_leaves_the_node_alone() {
    let lab = Lab::up("twice", true);
    let holder = lab.holder();
    assert_eq!(lab.ok(&["up", "none"]), format!("node/{} is up\n", lab.0));
    assert_eq!((lab.holder(), lab.node()[1].as_str()), (holder, "Ready"));
    let error = lab.fails(&["up", "ch1"]);
    assert!(error.contains("run `lab install ch1`"), "{error}");
    assert_eq!(lab.holder(), holder);
}

#[test]
fn several_nodes_by_name() {
    let [a, b] = [Lab::up("a", true), Lab::up("b", false)];
    a.ok(&["pod", "run", "pod-of-a"]);
    assert_eq!((a.pods(&[]).len(), b.pods(&[]).len()), (2, 1));
    assert_eq!((a.node()[1].as_str(), b.node()[1].as_str()), ("Ready", "NotReady"));
    b.ok(&["down"]);
    assert!(runs(a.holder()));
    assert_eq!(a.pods(&[])[1][0], "pod-of-a");
}

#[test]
fn uninstall_makes_the_node_not_ready_and_leaves_the_pods() {
    let lab = Lab::up("uninstall", false);
    let install =
        "install \"$0\" /opt/cni/bin/ebpfcni; echo \"$1\" >/etc/cni/net.d/10-ebpfcni.conf";
    let conf = fake::conf("1.0.0").to_string();
    lab.ok(&["node-exec", "--", "sh", "-ec", install, fake::PLUGIN, &conf]);
    lab.ok(&["pod", "run", "a"]);
    lab.ok(&["uninstall"]);
    lab.ok(&["uninstall"]);
    assert_eq!(lab.node()[1], "NotReady");
    assert_eq!(lab.pods(&[])[1][2], "Running");
    lab.ok(&["node-exec", "--", "sh", "-c", "! test -e /opt/cni/bin/ebpfcni"]);
}
