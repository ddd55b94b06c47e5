//! What a node is: a world of its own, of which nothing stays.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake::{AGENT, conf, manifests, namespaces, node, ready_node, runs, wait_until};
use lab::{Node, Phase, PodSpec};

/// Where the network namespace is held: processes in it, and mounts that this process sees.
fn holders(namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let its = fs::read_link(path.join("ns/net")).unwrap_or_default();
        if its == Path::new(namespace) {
            found.push(path.display().to_string());
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(namespace)).map(String::from));
    found
}

/// Starts a process that stays in the node.
fn start_daemon(node: &Node) -> u32 {
    let pid = node.sh("setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $!").unwrap();
    pid.trim().parse().unwrap()
}

#[test]
fn a_dropped_node_leaves_no_process_no_mount_and_no_namespace() {
    let node = ready_node("1.0.0");
    let pod = node.run_pod(PodSpec::new("a")).unwrap();
    let sandbox = node.sandbox().unwrap();
    let readlink = ["readlink", "/proc/self/ns/net"];
    let namespaces = [
        node.run(&readlink).unwrap(),
        pod.run(&node, &readlink).unwrap(),
        sandbox.run(&node, &readlink).unwrap(),
    ]
    .map(|line| line.trim().to_string());
    let pids = [node.pid(), start_daemon(&node)];
    let mut in_pod = pod.command(&node, "sleep").unwrap().arg("infinity").spawn().unwrap();
    assert!(pids.iter().all(|pid| runs(*pid)));
    assert!(!holders(&namespaces[0]).is_empty());
    assert!(!holders(&namespaces[1]).is_empty());
    let name = sandbox.netns().strip_prefix("/var").unwrap();
    assert!(node.path(name).exists() && !Path::new(name).exists());

    drop(node);
    in_pod.wait().unwrap();
    assert_eq!(pids.map(runs), [false; 2]);
    for namespace in namespaces {
        assert_eq!(holders(&namespace), [""; 0]);
    }
}

#[test]
#[ignore = "the child process of the test below"]
fn makes_a_node_and_waits_to_be_killed() {
    let node = ready_node("1.0.0");
    node.run_pod(PodSpec::new("a")).unwrap();
    node.start_agent(Path::new(AGENT)).unwrap();
    println!("\nholder={}\nagent={}", node.pid(), node.agent_pid().unwrap());
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_killed_test_leaves_nothing() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "makes_a_node_and_waits_to_be_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut pid = |name| lines.find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap();
    let (holder, agent) = (pid("holder="), pid("agent="));
    let namespace = fs::read_link(format!("/proc/{holder}/ns/net")).unwrap();
    assert!(runs(holder) && runs(agent));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the holder ends", || !runs(holder));
    wait_until("the agent ends", || !runs(agent));
    wait_until("the network is gone", || holders(namespace.to_str().unwrap()).is_empty());
}

#[test]
fn two_nodes_and_the_machine_do_not_see_each_others_links_files_and_pods() {
    let [a, b] = [ready_node("1.0.0"), node()];
    let link = format!("only{:08x}", a.pid());
    a.run(&["ip", "link", "add", &link, "type", "bridge"]).unwrap();
    let files =
        ["/etc/cni/net.d/seen", "/etc/seen", "/run/seen", "/opt/cni/bin/seen", "/sys/fs/bpf/seen"]
            .map(|path| format!("{path}-{}", a.pid()));
    for file in &files {
        a.run(&["mkdir", file]).unwrap();
        assert!(a.path(file).exists(), "{file}");
    }
    a.run_pod(PodSpec::new("a")).unwrap();
    for file in &files {
        assert!(!b.path(file).exists(), "{file} in the other node");
        assert!(!Path::new(file).exists(), "{file} on the machine");
    }
    let links = |output: String| output.contains(&link);
    assert!(links(a.run(&["ip", "link"]).unwrap()));
    assert!(!links(b.run(&["ip", "link"]).unwrap()));
    let machine = Command::new("ip").arg("link").output().unwrap().stdout;
    assert!(!links(String::from_utf8(machine).unwrap()));
    assert_eq!((a.pods().unwrap().len(), b.pods().unwrap().len()), (1, 0));
    assert_ne!(a.name(), b.name());
}

#[test]
fn a_nodes_end_does_not_concern_its_neighbour() {
    let [a, b] = [node(), node()];
    let daemon = start_daemon(&b);
    drop(a);
    assert!(runs(b.pid()) && runs(daemon));
    b.run(&["true"]).unwrap();
}

#[test]
fn a_sandbox_is_a_network_with_nothing_but_lo_and_goes_once() {
    let node = node();
    let sandbox = node.sandbox().unwrap();
    let links = sandbox.run(&node, &["ip", "-o", "link"]).unwrap();
    assert!(links.lines().count() == 1 && links.contains("lo: <LOOPBACK,UP"), "{links}");
    sandbox.ping(&node, "127.0.0.1").unwrap();
    sandbox.remove(&node).unwrap();
    sandbox.remove(&node).unwrap();
    assert_eq!(namespaces(&node), [""; 0]);
    let error = sandbox.run(&node, &["true"]).unwrap_err();
    assert!(format!("{error:#}").contains("namespace /var/run/netns/cni-"), "{error:#}");
}

#[test]
fn a_failing_command_is_an_error_with_all_it_said() {
    let node = node();
    let error = node.sh("echo out; echo err >&2; false; echo not reached").unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("exit status: 1") && error.contains("out\nerr\n"), "{error}");
    assert!(!error.contains("not reached\n"), "{error}");
    let error = format!("{:#}", node.run(&["no-such-program"]).unwrap_err());
    assert!(error.contains("no-such-program"), "{error}");
}

#[test]
fn a_plugin_is_replaced_while_it_runs() {
    let node = node();
    node.install_plugin(Path::new("/bin/sleep")).unwrap();
    let mut old = node.command("/opt/cni/bin/ebpfcni").arg("600").spawn().unwrap();
    node.install_plugin(Path::new("/bin/true")).unwrap();
    assert_eq!(old.try_wait().unwrap(), None);
    node.run(&["/opt/cni/bin/ebpfcni", "600"]).unwrap();
    old.kill().unwrap();
    old.wait().unwrap();
    assert_eq!(node.sh("ls -A /opt/cni/bin").unwrap(), "ebpfcni\none\nthree\ntwo\n");
}

#[test]
fn pods_come_and_go_on_many_threads_at_once() {
    let node = node();
    node.write_config("10-net.conf", &conf("1.0.0").to_string()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let node = &node;
            scope.spawn(move || {
                for round in 0..4 {
                    let name = format!("pod{thread}-{round}");
                    let pod = node.run_pod(PodSpec::new(&name)).unwrap();
                    assert_eq!(pod.phase, Phase::Running);
                    assert_eq!(node.pod("default", &name).unwrap(), pod);
                    assert!(node.pods().unwrap().contains(&pod));
                    node.remove_pod("default", &name).unwrap();
                }
            });
        }
    });
    assert_eq!(node.pods().unwrap(), []);
    assert_eq!(namespaces(&node), [""; 0]);
    assert_eq!(node.sh("ls -A /run/lab/pods").unwrap(), "");
    assert_eq!(manifests(&node), ["namespace_default.yaml"]);
}
