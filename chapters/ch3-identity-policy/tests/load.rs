//! The agent under load: its engine waits for the kernel, policies are huge, clients say nothing.
//! Whoever asks is answered, and a pod does not wait for what does not concern it.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use chapter::{api, client};
use lab::{Node, PodSpec};
use plugin::ready_node;
use scene::{FRIENDS_ONLY, ask, eventually, reaches, run, within};

/// As long as the engine is held up at each look into a map.
const HELD: Duration = Duration::from_secs(20);
/// An answer takes a few milliseconds; on a busy machine this is enough.
const SOON: Duration = Duration::from_secs(1);

/// The agent's engine, held up by strace; all its other threads are free.
struct Held {
    strace: Child,
    thread: String,
}

impl Held {
    fn new(node: &Node) -> Self {
        let pid = node.agent_pid().unwrap();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let threads: Vec<_> = threads.map(|it| it.unwrap().path()).collect();
        let is_engine = |comm: String| comm.trim() == "engine";
        let engine =
            threads.iter().find(|it| is_engine(fs::read_to_string(it.join("comm")).unwrap()));
        // An agent of one thread is its own engine.
        let thread = engine.unwrap_or(&threads[0]).display().to_string();
        let tid = thread.rsplit('/').next().unwrap();
        let delay = format!("inject=bpf:delay_enter={}", HELD.as_micros());
        let mut strace = std::process::Command::new("strace");
        strace.args(["-o", "/dev/null", "-p", tid, "-e", "trace=bpf", "-e", &delay]);
        let strace = strace.stderr(Stdio::null()).spawn().unwrap();
        let held = Self { strace, thread };
        eventually("strace is attached", || !held.status().contains("TracerPid:\t0\n"));
        held
    }

    fn status(&self) -> String {
        fs::read_to_string(format!("{}/status", self.thread)).unwrap()
    }

    fn is_stopped(&self) -> bool {
        self.status().contains("State:\tt")
    }

    /// strace stops a thread for a moment at each system call, too.
    fn is_held(&self) -> bool {
        let look = || {
            std::thread::sleep(Duration::from_millis(10));
            self.is_stopped()
        };
        (0..20).all(|_| look())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

#[test]
fn whoever_asks_is_answered_while_the_engine_waits_for_the_kernel() {
    let node = ready_node();
    let [victim, other] = ["victim", "other"].map(|app| run(&node, app));
    let held = Held::new(&node);
    node.apply(FRIENDS_ONLY).unwrap();
    eventually("the engine is held up", || held.is_held());
    node.enter(|| {
        for path in [
            "/v1/healthz",
            "/v1/endpoint",
            "/v1/identity",
            "/v1/explain?from=default/other&to=default/victim",
            "/metrics",
        ] {
            let start = Instant::now();
            client::text(path).unwrap();
            let took = start.elapsed();
            assert!(took < SOON, "{path}: {took:?}");
            assert!(held.is_stopped(), "the engine goes on");
        }
        let lines = client::lines("/v1/monitor").unwrap();
        let told = std::thread::spawn(|| lines.map_while(Result::ok).next());
        assert!(reaches(&node, &other, &victim), "the last known policy holds");
        assert!(told.join().unwrap().is_some());
        assert!(held.is_stopped(), "the engine goes on");
    })
    .unwrap();
    drop(held);
    eventually("it is enforced", || !reaches(&node, &other, &victim));
}

#[test]
fn five_policies_with_110_000_values_each_keep_no_pod_waiting() {
    let node = ready_node();
    let time = |name: &str| {
        let start = Instant::now();
        node.run_pod(PodSpec::new(name).label("app", "web")).unwrap();
        start.elapsed()
    };
    let best = |round: &str| (0..5).map(|it| time(&format!("{round}-{it}"))).min().unwrap();
    let before = best("before");
    let values: Vec<_> = (0..110_000).map(|it| format!("\"v{it:06}\"")).collect();
    for number in 0..5 {
        let policy = format!(
            r#"{{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {{"name": "huge-{number}"}}, "spec": {{"podSelector": {{}}, "ingress": [
            {{"from": [{{"podSelector": {{"matchExpressions": [
            {{"key": "app", "operator": "NotIn", "values": [{}]}}]}}}}]}}]}}}}"#,
            values.join(",")
        );
        node.write_manifest(&format!("huge-{number}.yaml"), &policy).unwrap();
    }
    within(Duration::from_secs(120), "they are enforced", || {
        let endpoint = ask(&node, "endpoint get before-0 -o json");
        endpoint["ingress"].as_array().unwrap().len() == 5
    });
    let after = best("after");
    assert!(after < before * 3 + Duration::from_millis(100), "{before:?} became {after:?}");
    // What is told of them is for people: not all values.
    let told = ask(&node, "endpoint get before-0 -o json").to_string();
    assert!(told.contains("must not be v000000 or") && told.len() < 20_000, "{}", told.len());
}

#[test]
fn who_connects_and_says_nothing_makes_room_for_who_asks() {
    let node = ready_node();
    let pid = node.agent_pid().unwrap().to_string();
    node.run(&["prlimit", "--pid", &pid, "--nofile=400:400"]).unwrap();
    node.enter(|| {
        let connect = |number: usize| {
            let mut stream = UnixStream::connect(api::SOCKET).unwrap();
            // Nothing, half a request, one whose body does not come, one whose answer is not read.
            let said = [
                "",
                "GET /v1/hea",
                "PUT /v1/endpoint/veth00000000001 HTTP/1.0\r\nContent-Length: 99\r\n\r\n",
                "GET /v1/monitor HTTP/1.0\r\n\r\n",
            ];
            let _ = stream.write_all(said[number % said.len()].as_bytes());
            stream
        };
        let silent: Vec<_> = (0..600).map(connect).collect();
        let start = Instant::now();
        client::healthz().unwrap();
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        drop(silent);
        client::healthz().unwrap();
    })
    .unwrap();
    run(&node, "late");
}
