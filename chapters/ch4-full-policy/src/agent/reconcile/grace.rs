//! Waiting until no program runs any more that was running when the wait began.

use std::io;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use nix::libc;

/// `MEMBARRIER_CMD_GLOBAL` of membarrier(2).
const GLOBAL: libc::c_int = 1;

/// Waits, some milliseconds: the kernel waits for what it calls an RCU grace period, and every eBPF
/// program runs between two of them. An error on a kernel with `nohz_full`, which has no such call.
pub fn wait() -> Result<()> {
    // SAFETY: membarrier takes three integers and touches no memory of ours.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        .context("membarrier: this kernel cannot wait for running programs; boot without nohz_full")
}

/// A wait that goes on in a thread of its own.
#[derive(Debug, Default)]
pub struct Wait(Option<JoinHandle<Result<()>>>);

impl Wait {
    /// Begins. An error if there can be no thread, for instance for the limit of a cgroup.
    pub fn begin() -> io::Result<Self> {
        let thread = Builder::new().name("grace".into());
        Ok(Self(Some(thread.spawn(wait)?)))
    }

    /// Is it over?
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Returns when it is over.
    pub fn end(&mut self) -> Result<()> {
        let wait = self.0.take().map_or(Ok(Ok(())), JoinHandle::join);
        wait.unwrap_or_else(|_| Err(anyhow!("the thread that waits has panicked")))
    }
}
