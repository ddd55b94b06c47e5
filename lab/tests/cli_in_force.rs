//! `lab apply`, `delete`, `label`, `create` and `pod` return when the agent says that it holds.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fake::cli::{Files, Lab};
use fake::{POLICY, manifests, wait_until};
use lab::Node;
use serde_json::{Value, json};

const SOCKET: &str = "/run/ebpfcni/agent.sock";

/// Answers as the agent's API does, in a thread of the test. Ends with the test's process.
struct Api {
    /// Do the maps follow what it has read?
    in_force: Arc<AtomicBool>,
    /// How often it was asked.
    asked: Arc<AtomicU64>,
}

impl Api {
    fn new(node: &Node, status: &'static str) -> Self {
        fs::create_dir_all(node.path("/run/ebpfcni")).unwrap();
        let listener = UnixListener::bind(node.path(SOCKET)).unwrap();
        let api = Self { in_force: Arc::default(), asked: Arc::default() };
        let (in_force, asked) = (api.in_force.clone(), api.asked.clone());
        let directory = node.path("/run/lab/manifests");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                let files: serde_json::Map<String, Value> = fs::read_dir(&directory)
                    .into_iter()
                    .flatten()
                    .map(|file| {
                        let file = file.unwrap();
                        let it = file.metadata().unwrap();
                        let stamp = format!("{}:{}.{:09}", it.ino(), it.mtime(), it.mtime_nsec());
                        (file.file_name().into_string().unwrap(), stamp.into())
                    })
                    .collect();
                let body = json!({ "files": files, "in_force": in_force.load(Ordering::SeqCst) });
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.0 {status}\r\nx: y\r\n\r\n{body}");
            }
        });
        api
    }
}

fn up(test: &str) -> (Lab, Files) {
    let lab = Lab::up(test, true);
    lab.give_agent();
    lab.ok(&["agent", "start"]);
    let files = Files::new(&lab);
    files.add("policy.yaml", &POLICY.replace(", namespace: shop", ""));
    (lab, files)
}

#[test]
fn each_command_that_changes_something_waits_and_none_that_only_looks() {
    let (lab, files) = up("in-force");
    let node = lab.inside();
    let api = Api::new(&node, "200 OK");
    let file = files.0.join("policy.yaml");
    let file = file.to_str().unwrap();
    let commands = [
        "create namespace shop",
        &format!("apply -f {file}"),
        "pod run a",
        "label pod a app=web",
        "label namespace shop a=b",
        "delete netpol allow",
        "pod rm a",
        "delete namespace shop",
    ];
    for command in commands {
        let args: Vec<_> = command.split(' ').collect();
        api.in_force.store(false, Ordering::SeqCst);
        let mut child = lab.command(&args).stdout(Stdio::null()).spawn().unwrap();
        let before = api.asked.load(Ordering::SeqCst);
        wait_until("it asks several times", || {
            api.asked.load(Ordering::SeqCst) > before + 3 && child.try_wait().unwrap().is_none()
        });
        api.in_force.store(true, Ordering::SeqCst);
        assert!(child.wait().unwrap().success(), "{command}");
    }
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
    api.in_force.store(false, Ordering::SeqCst);
    let before = api.asked.load(Ordering::SeqCst);
    for command in [&["pods"][..], &["nodes"], &["get", "netpol"], &["node-exec", "--", "true"]] {
        lab.ok(command);
    }
    assert_eq!(api.asked.load(Ordering::SeqCst), before);
}

#[test]
fn an_agent_that_does_not_run_is_said_and_one_that_does_not_tell_is_not_waited_for() {
    let (lab, files) = up("not-in-force");
    let file = files.0.join("policy.yaml");
    let apply = ["apply", "-f", file.to_str().unwrap()];
    let said = |args: &[&str]| {
        let output = lab.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(&apply), "", "it has no API");
    let node = lab.inside();
    let api = Api::new(&node, "404 Not Found");
    assert_eq!(said(&apply), "", "it does not know the question");
    assert_eq!(api.asked.load(Ordering::SeqCst), 1);

    lab.ok(&["agent", "kill"]);
    fs::remove_file(node.path(SOCKET)).unwrap();
    let warning = "warning: the agent does not run: what you have changed holds when it is READY \
        again\n";
    assert_eq!(said(&apply), warning);
    drop(UnixListener::bind(node.path(SOCKET)).unwrap()); // refuses, as after a kill
    assert_eq!(said(&["delete", "netpol", "allow"]), warning);
    assert_eq!(said(&["pod", "run", "a"]), "", "that is its plugin's to say");
    fs::remove_file(node.path(lab::AGENT)).unwrap();
    assert_eq!(said(&apply), "", "the node has no agent");
}
