//! `lab apply`, `create`, `delete`, `get` and `label`, as people type them.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use fake::cli::{Files, LAB, Lab, sentence, words};
use fake::{POLICY, manifest, manifests, shop, wait_until};

const APPLIED: &str = "namespace/shop created\npod/web created\n\
    networkpolicy.networking.k8s.io/allow created\n";

#[test]
fn files_directories_and_stdin_are_applied_and_deleted_with_kubectls_words() {
    let lab = Lab::up("apply", true);
    let files = Files::new(&lab);
    let file = files.add("b.yaml", &shop());
    assert_eq!(lab.ok(&["apply", "-f", &file]), APPLIED);
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"first"}}"#;
    files.add("a.json", namespace);
    files.add("c.txt", "not: this");
    let directory = files.0.to_str().unwrap();
    let said = lab.ok(&["apply", "-f", directory]);
    assert_eq!(
        said,
        format!("namespace/first created\n{}", APPLIED.replace("created", "unchanged"))
    );
    let two = lab.ok(&["apply", "-f", &file, &file]);
    assert_eq!(two, APPLIED.replace("created", "unchanged").repeat(2));

    let mut delete = lab.command(&["delete", "-f", "-"]);
    let output = delete.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    let deleted = "namespace \"shop\" deleted\npod \"web\" deleted\n\
        networkpolicy.networking.k8s.io \"allow\" deleted\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), deleted);
    assert_eq!(manifests(&lab.inside()), ["namespace_default.yaml", "namespace_first.yaml"]);
}

#[test]
fn tables_are_kubectls() {
    let lab = Lab::up("tables", true);
    let files = Files::new(&lab);
    assert_eq!(lab.ok(&["get", "netpol"]), "No resources found in default namespace.\n");
    assert_eq!(lab.ok(&["get", "networkpolicies", "-A"]), "No resources found.\n");
    lab.ok(&["apply", "-f", &files.add("a.yaml", &shop())]);
    let selector = "podSelector: {matchLabels: {app: web}, matchExpressions: [\
        {key: tier, operator: NotIn, values: [a, b]}, {key: app, operator: In, values: [c]}, \
        {key: old, operator: DoesNotExist}, {key: new, operator: Exists}, {operator: Odd}]}";
    let policy = POLICY.replace("podSelector: {}", selector).replace("shop", "default");
    lab.ok(&["apply", "-f", &files.add("b.yaml", &policy)]);

    let rows = |args: &[&str]| -> Vec<Vec<String>> {
        let mut rows: Vec<_> = lab.ok(args).lines().map(words).collect();
        for row in &mut rows[1..] {
            row.retain(|cell| !cell.trim_end_matches('s').chars().all(|c| c.is_ascii_digit()));
        }
        rows
    };
    let netpol = rows(&["get", "netpol", "-A"]);
    assert_eq!(netpol[0], ["NAMESPACE", "NAME", "POD-SELECTOR", "AGE"]);
    let text = "!old,<error>,app in (c),app=web,new,tier notin (a,b)";
    assert_eq!(netpol[1], ["default", "allow", text]);
    assert_eq!(netpol[2], ["shop", "allow", "<none>"]);
    assert_eq!(rows(&["get", "netpol", "-n", "shop"])[1..], [["allow", "<none>"]]);
    assert_eq!(rows(&["get", "netpol"])[1..], [["allow", text]]);
    let namespaces = rows(&["get", "ns", "--show-labels"]);
    assert_eq!(namespaces[0], ["NAME", "STATUS", "AGE", "LABELS"]);
    let labels = ["default", "shop"].map(|name| format!("kubernetes.io/metadata.name={name}"));
    assert_eq!(namespaces[1], ["default", "Active", &labels[0]]);
    assert_eq!(namespaces[2], ["shop", "Active", &format!("{},team=a", labels[1])]);
    assert_eq!(rows(&["get", "pods", "-A"]), rows(&["pods", "-A"])); // ages apart
}

#[test]
fn objects_are_made_labeled_and_deleted_by_name() {
    let lab = Lab::up("by-name", true);
    assert_eq!(
        lab.ok(&["create", "namespace", "shop", "--labels", "a=1,b=2"]),
        "namespace/shop created\n"
    );
    assert_eq!(lab.fails(&["create", "namespace", "shop"]), "namespaces \"shop\" already exists");
    assert_eq!(lab.ok(&["label", "namespace", "shop", "a=3", "b-"]), "namespace/shop labeled\n");
    let node = lab.inside();
    let namespace = manifest(&node, "namespace_shop.yaml").unwrap();
    assert_eq!(
        namespace["metadata"]["labels"].to_string(),
        r#"{"a":"3","kubernetes.io/metadata.name":"shop"}"#
    );

    lab.ok(&["pod", "run", "web", "-n", "shop", "--labels", "app=web,old=1"]);
    assert_eq!(lab.ok(&["label", "pod", "web", "old-", "-n", "shop"]), "pod/web unlabeled\n");
    assert_eq!(lab.ok(&["label", "pod", "web", "app=a=b", "-n", "shop"]), "pod/web labeled\n");
    assert_eq!(lab.pods(&["-n", "shop", "--show-labels"])[1][5], "app=a=b");

    node.apply(&POLICY.replace("name: allow", "name: deny")).unwrap();
    node.apply(POLICY).unwrap();
    let deleted = lab.ok(&["delete", "netpol", "allow", "deny", "-n", "shop"]);
    let line = |name: &str| format!("networkpolicy.networking.k8s.io \"{name}\" deleted\n");
    assert_eq!(deleted, line("allow") + &line("deny"));
    assert_eq!(lab.ok(&["delete", "namespace", "shop"]), "namespace \"shop\" deleted\n");
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}

#[test]
fn a_mistake_is_answered_with_one_sentence() {
    let lab = Lab::up("wrong-objects", true);
    let files = Files::new(&lab);
    let file = files.add("a.yaml", "kind: Pod\nkind: Pod");
    let directory = files.0.join("empty");
    fs::create_dir(&directory).unwrap();
    let directory = directory.to_str().unwrap();
    let cases = [
        (&["apply", "-f", &file][..], "a.yaml: no YAML: duplicate mapping key `kind`"),
        (&["apply", "-f", "/nowhere.yaml"], "/nowhere.yaml: No such file"),
        (&["apply", "-f", directory], "/empty: there is no YAML or JSON"),
        (&["label", "pod", "web", "app"], "\"app\" must be KEY=VALUE to set a label, KEY- to"),
        (&["delete", "netpol", "x"], "networkpolicies \"x\" not found in namespace default"),
        (&["create", "namespace", "X"], "\"X\" is no name of Kubernetes"),
    ];
    for (args, expected) in cases {
        let error = lab.fails(args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    for args in [&["get", "deployments"][..], &["delete"], &["delete", "pod"], &["apply"]] {
        assert_eq!(lab.run(args).status.code(), Some(2), "{args:?}");
    }
    let output =
        Command::new(LAB).args(["--node", "no-such", "apply", "-f", "-"]).output().unwrap();
    assert!(sentence(&output).contains("there are no objects"), "{output:?}");
}

#[test]
fn who_waits_for_stdin_keeps_no_other_lab_command_waiting() {
    let lab = Lab::up("stdin", true);
    let mut apply = lab.command(&["apply", "-f", "-"]);
    let mut apply = apply.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = apply.stdin.take().unwrap();
    // More than a pipe holds: once this is written, it is reading.
    let comment = format!("# {}\n", "x".repeat(100_000));
    pipe.write_all(comment.as_bytes()).unwrap();
    let mut pods = lab.command(&["pods"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("`lab pods` is done", || pods.try_wait().unwrap().is_some());
    pipe.write_all(shop().as_bytes()).unwrap();
    drop(pipe);
    assert_eq!(String::from_utf8(apply.wait_with_output().unwrap().stdout).unwrap(), APPLIED);
}
