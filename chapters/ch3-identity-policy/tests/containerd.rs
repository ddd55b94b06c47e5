//! The plugin under its real caller: containerd and runc run a container on a lab node.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use plugin::{assert_no_pod_left, node, traces};

/// Runs in a PID namespace of its own: when this ends, so do daemon, shim and container.
/// The container waits for the end of its stdin, which is the test's.
const SCRIPT: &str = r#"
mkdir -p /run/real/rootfs/bin && cd /run/real
exec 2>log

# An image of one layer that holds one program.
cp "$(command -v busybox)" rootfs/bin/busybox
tar -C rootfs -cf layer.tar bin
layer=$(sha256sum layer.tar | cut -d' ' -f1)
cat >config.json <<END
{ "architecture": "$(busybox uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')", "os": "linux",
  "config": {}, "rootfs": { "type": "layers", "diff_ids": ["sha256:$layer"] } }
END
cat >manifest.json <<END
[{ "Config": "config.json", "RepoTags": ["lab/busybox:test"], "Layers": ["layer.tar"] }]
END
tar -cf image.tar config.json manifest.json layer.tar

# Without the plugins of which this needs nothing: they would touch the machine, or only complain.
cat >config.toml <<END
version = 2
root = "/run/real/root"
state = "/run/real/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "/run/real/socket"
END
containerd --config config.toml </dev/null >&2 &
export CONTAINERD_ADDRESS=/run/real/socket
until ctr version >&2; do kill -0 $! && sleep 0.05; done
ctr images import --snapshotter native image.tar >&2

ctr run --rm --cni --snapshotter native --runc-root /run/real/runc --cgroup "/$NAME" \
  docker.io/lab/busybox:test "$NAME" /bin/busybox sh -ec '
    alias busybox=/bin/busybox
    busybox ping -c1 -W2 10.13.0.1 >&2
    busybox ip -4 -o addr show dev eth0
    busybox cat'
echo "left: $(ctr containers ls -q)$(ctr tasks ls -q)$(ctr snapshots --snapshotter native ls | grep "$NAME" || :)"
kill $!
wait $!
"#;

/// The container's cgroups. It leaves none; if a test fails half way, they go with this.
struct Cgroups(String);

impl Cgroups {
    fn left(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let paths = hierarchies.map(|entry| entry.path().join(&self.0));
        paths
            .chain([PathBuf::from("/sys/fs/cgroup").join(&self.0)])
            .filter(|p| p.exists())
            .collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for path in self.left() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Is there all that this needs? In CI there must be.
fn can_run() -> bool {
    let there = |tool: &str| Command::new(tool).arg("--help").output().is_ok();
    let tools = ["containerd", "containerd-shim-runc-v2", "ctr", "runc", "busybox", "setpriv"];
    let missing: Vec<_> = tools.into_iter().filter(|tool| !there(tool)).collect();
    if missing.is_empty() {
        return true;
    }
    let message = format!("please install {}", missing.join(", "));
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{message}");
    println!("skipped: {message}");
    false
}

#[test]
fn containerd_runs_a_container_that_reaches_its_gateway_and_leaves_nothing() {
    if !can_run() {
        return;
    }
    let cgroups = Cgroups(format!("ebpfcni-test-{}", std::process::id()));
    let node = node();
    node.write_config("10-ebpfcni.conf", include_str!("../10-ebpfcni.conf")).unwrap();
    let log = || fs::read_to_string(node.path("/run/real/log")).unwrap_or_default();

    // If this test is killed, so is unshare, and with it all in the PID namespace.
    let mut real = node
        .command("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "timeout", "--signal=KILL", "120", "sh", "-ec", SCRIPT])
        .env("NAME", &cgroups.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(real.stdout.take().unwrap()).lines().map(Result::unwrap);

    let eth0 = output.next().unwrap_or_else(|| panic!("no container ran:\n{}", log()));
    assert!(eth0.contains("inet 10.13.0.2/24"), "{eth0}");
    let running = traces(&node);
    for trace in ["10.13.0.2@veth", "masquerade"] {
        assert!(running.contains(trace), "no {trace}:\n{running}");
    }
    assert!(!cgroups.left().is_empty(), "where are the container's cgroups?");

    drop(real.stdin.take());
    assert_eq!(output.next().as_deref(), Some("left: "), "{}", log());
    assert_eq!(output.next(), None);
    assert!(real.wait().unwrap().success(), "{}", log());
    assert_no_pod_left(&node);
    assert_eq!(cgroups.left(), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/run/real"), "{mounts}");
}
