//! The processes of a node: known by the id that they see in it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// All processes in the node with this id.
pub(crate) fn in_node(id: &str) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        pids.extend(pid.filter(|pid| is_in_node(*pid, id)));
    }
    Ok(pids)
}

pub(crate) fn is_in_node(pid: u32, id: &str) -> bool {
    let its = fs::read_to_string(format!("/proc/{pid}/root/run/lab/id")).unwrap_or_default();
    its.trim() == id
}

/// Ends every process in the node with this id and waits until they are gone.
pub(crate) fn stop(id: &str) -> Result<()> {
    // A daemon may fork while we look: look until there is nobody.
    let mut ending = Vec::new();
    for _ in 0..2000 {
        let pids = in_node(id)?;
        pids.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        ending.extend(pids);
        ending.retain(|pid| !has_ended(*pid));
        if ending.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("processes in node {id} do not end")
}

/// Sends a signal; the process may have ended by itself meanwhile.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid as i32), signal);
}

/// Has the process ended with all its threads? One that nobody has waited for yet has: its
/// threads are in no namespace any more, and gave up their files before that.
pub(crate) fn has_ended(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| fs::read_link(thread.path().join("ns/net")).is_err())
}

/// Waits until something is so; returns whether it came to be before the deadline.
pub fn wait_until(deadline: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if start.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
