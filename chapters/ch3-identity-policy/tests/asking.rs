//! Asking the agent: one that hangs, answers slowly, or breaks off. The plugin and the command
//! line have a deadline, whatever it does.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
mod scene;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use chapter::{api, client};
use lab::{CniCall, Node, feed};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use plugin::{conf, ready_node};
use scene::{eventually, run};

/// The deadline is two seconds; on a busy machine an answer may come a little later.
const DEADLINE: Duration = Duration::from_secs(6);

/// Runs the command line, which must end by itself and in time.
fn ask(node: &Node, question: &str) -> Output {
    let start = Instant::now();
    let mut command = node.command("timeout");
    let output = command.args(["20", plugin::AGENT]).args(question.split(' ')).output().unwrap();
    assert!(start.elapsed() < DEADLINE, "{:?}: {output:?}", start.elapsed());
    output
}

/// In the agent's place: answers everybody by `answer`.
fn fake(node: &Node, answer: impl Fn(UnixStream) + Send + Sync + 'static) {
    node.stop_agent().unwrap();
    let listener = node
        .enter(|| {
            fs::remove_file(api::SOCKET).unwrap();
            UnixListener::bind(api::SOCKET).unwrap()
        })
        .unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]);
            answer(stream);
        }
    });
}

#[test]
fn an_agent_that_hangs_hangs_nobody_also_when_its_queue_is_full() {
    let node = ready_node();
    node.sh("echo 64 >/proc/sys/net/core/somaxconn").unwrap();
    let pid = node.agent_pid().unwrap().to_string();
    node.run(&["kill", "-STOP", &pid]).unwrap();
    // Until no more go in.
    let queued = node
        .enter(|| {
            let mut queued = Vec::new();
            loop {
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
                match connect(fd.as_raw_fd(), &UnixAddr::new(api::SOCKET).unwrap()) {
                    Ok(()) => queued.push(fd),
                    Err(error) => return (error, queued),
                }
            }
        })
        .unwrap();
    assert_eq!(queued.0, Errno::EAGAIN);
    let start = Instant::now();
    let call = CniCall::new("STATUS").stdin(conf().to_string());
    let mut child = node.start_cni(&call, &["timeout", "20"]).unwrap();
    feed(&mut child, call.input()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], 50, "{error}");
    assert!(!ask(&node, "status").status.success());

    node.run(&["kill", "-CONT", &pid]).unwrap();
    node.enter(|| client::healthz().unwrap()).unwrap();
    drop(queued);
    run(&node, "late");
}

#[test]
fn an_answer_that_does_not_come_drips_breaks_off_or_does_not_end_is_an_error_in_time() {
    const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let node = ready_node();
    let fails = |what: &str, answer: fn(&mut UnixStream) -> std::io::Result<()>| {
        fake(&node, move |mut stream| {
            let _ = answer(&mut stream);
        });
        for question in ["status", "metrics"] {
            let output = ask(&node, question);
            assert_eq!(output.status.code(), Some(1), "{what}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("ebpf-agent"), "{what}: {said}");
        }
    };
    fails("nothing", |stream| {
        std::thread::sleep(Duration::from_secs(30));
        stream.write_all(HEAD)
    });
    fails("drips", |stream| {
        stream.write_all(HEAD)?;
        loop {
            stream.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    fails("breaks off", |stream| stream.write_all(HEAD).and_then(|()| stream.write_all(b"{}")));
    fails("does not end", |stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 65536])?;
        }
    });
}

#[test]
fn a_monitor_says_when_the_agent_has_ended_and_that_nobody_reads_is_no_error() {
    let node = ready_node();
    let pods = ["one", "two"].map(|app| run(&node, app));
    for end in [Node::stop_agent, Node::kill_agent] {
        let mut monitor = node.command(plugin::AGENT);
        monitor.arg("monitor").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut monitor = monitor.spawn().unwrap();
        let mut told = [0];
        // It is there when it tells the first event.
        let asks = || drop(pods[0].run(&node, &["ping", "-c1", "-W1", &ip(&pods[1])]));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| monitor.stdout.as_mut().unwrap().read_exact(&mut told));
            eventually("it tells something", || {
                asks();
                first.is_finished()
            });
        });
        end(&node).unwrap();
        let output = monitor.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("ebpf-agent has ended"));
        node.start_agent(plugin::AGENT.as_ref()).unwrap();
    }
    let pings = format!("{} monitor | head -n1; echo ${{PIPESTATUS[0]}}", plugin::AGENT);
    let mut piped = node.command("bash");
    let piped = piped.args(["-c", &pings]).stdout(Stdio::piped()).spawn().unwrap();
    let piped = std::thread::spawn(|| piped.wait_with_output().unwrap());
    eventually("nobody reads any more", || {
        let _ = pods[0].run(&node, &["ping", "-c1", "-W1", &ip(&pods[1])]);
        piped.is_finished()
    });
    let output = String::from_utf8(piped.join().unwrap().stdout).unwrap();
    assert!(output.ends_with("\n0\n"), "{output}");
}

fn ip(pod: &lab::Pod) -> String {
    pod.ip.unwrap().to_string()
}
