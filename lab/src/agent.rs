//! The agent: a daemon that chapter 3 brings beside its plugin.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, chdir, getsid, setsid};

use crate::manifests::MANIFESTS;
use crate::node::Node;
use crate::processes::{self, has_ended, wait_until};

/// The agent's program on every node that has one: the daemon, and its command line.
pub const AGENT: &str = "/run/lab/bin/ebpf-agent";
const LOG: &str = "/run/lab/agent.log";

/// As long as an agent may take to be READY, or to end.
const DEADLINE: Duration = Duration::from_secs(60);

impl Node {
    /// Puts the agent's program on the node, starts it, and waits until it is READY. One that is
    /// not in time, or ends before, is an error, and then none runs.
    pub fn start_agent(&self, program: &Path) -> Result<()> {
        self.spawn_agent(program)?;
        self.wait_for_agent(DEADLINE).inspect_err(|_| drop(self.kill_agent()))
    }

    /// The same without waiting: the agent may never be READY.
    pub fn spawn_agent(&self, program: &Path) -> Result<()> {
        if let Some(pid) = self.agent_pid() {
            bail!("the agent runs already, as process {pid}");
        }
        self.install_program(program, AGENT)?;
        let log = File::create(self.path(LOG)).context("cannot make the agent's log")?;
        let mut command = self.command(AGENT);
        command.args(["run", "--manifests", MANIFESTS, "--node", self.name()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: between fork and exec only system calls are made, nothing is allocated.
        unsafe { command.pre_exec(detach) };
        let mut child = command.spawn().context("cannot run the agent")?;
        // Somebody must wait for it, or it stays a zombie as long as this process lives.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Waits until the agent says that it is READY.
    pub fn wait_for_agent(&self, deadline: Duration) -> Result<()> {
        let is_ready = || self.agent_log().lines().any(|line| line == "READY");
        let mut runs = true;
        let decided = wait_until(deadline, || {
            runs = self.agent_pid().is_some(); // before the log is read: it may be READY and end
            is_ready() || !runs
        });
        let log = self.agent_log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(10)..].join("\n");
        ensure!(runs, "the agent has ended; it said:\n{tail}");
        ensure!(decided, "the agent is not READY after {deadline:?}; it said:\n{tail}");
        Ok(())
    }

    /// Asks the agent to end and waits until it has. None to end is no error.
    pub fn stop_agent(&self) -> Result<()> {
        self.end_agent(Signal::SIGTERM)
    }

    /// Kills the agent and waits until it is gone. None to kill is no error.
    pub fn kill_agent(&self) -> Result<()> {
        self.end_agent(Signal::SIGKILL)
    }

    fn end_agent(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.agent_pid() else { return Ok(()) };
        processes::signal(pid, signal);
        ensure!(wait_until(DEADLINE, || has_ended(pid)), "the agent does not end on {signal}");
        Ok(())
    }

    /// Ends the agent and takes its program away.
    pub fn remove_agent(&self) -> Result<()> {
        self.stop_agent()?;
        match self.agent_program() {
            Some(program) => fs::remove_file(program).context("cannot remove the agent"),
            None => Ok(()),
        }
    }

    /// The running agent.
    pub fn agent_pid(&self) -> Option<u32> {
        processes::in_node(&self.id).ok()?.into_iter().find(|pid| is_agent(*pid))
    }

    /// What the agent has said since it was started last.
    pub fn agent_log(&self) -> String {
        let log = fs::read(self.path(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The agent's program as it is seen from outside, if the node has one.
    pub fn agent_program(&self) -> Option<PathBuf> {
        Some(self.path(AGENT)).filter(|program| program.exists())
    }
}

/// It is the node's: neither Ctrl-C at the terminal, nor the caller's directory and open files
/// concern it.
fn detach() -> io::Result<()> {
    setsid().and_then(|_| chdir("/"))?;
    let cloexec = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: no memory is passed. Before Linux 5.11 it fails and changes nothing.
    unsafe { libc::close_range(3, libc::c_uint::MAX, cloexec) };
    Ok(())
}

/// The daemon leads a session. What it forks does not, nor does its program as a command line.
fn is_agent(pid: u32) -> bool {
    let its = Pid::from_raw(pid as i32);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    getsid(Some(its)) == Ok(its) && arguments.contains(&format!("{AGENT}\0run\0"))
}
