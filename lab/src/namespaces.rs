//! Entering a node's namespaces, with a command or with a thread.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::chdir;

/// Open files of a network and a mount namespace; they keep both alive.
#[derive(Debug, Clone)]
pub struct Namespaces {
    net: Arc<File>,
    mnt: Arc<File>,
}

impl Namespaces {
    /// Those of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let open = |kind: &str| {
            let path = format!("/proc/{pid}/ns/{kind}");
            File::open(&path).map(Arc::new).with_context(|| format!("cannot open {path}"))
        };
        Ok(Self { net: open("net")?, mnt: open("mnt")? })
    }

    /// The same mounts with another network namespace: a pod's, as its file is seen from outside.
    pub fn with_net(&self, file: &Path) -> io::Result<Self> {
        Ok(Self { net: Arc::new(File::open(file)?), mnt: self.mnt.clone() })
    }

    /// Makes a command start inside.
    pub fn apply(&self, command: &mut Command) {
        let inside = self.clone();
        // The caller's directory, as the node sees it: what people name on the command line.
        let cwd = std::env::current_dir().unwrap_or_default();
        let cwd = CString::new(cwd.into_os_string().into_vec()).unwrap_or_default();
        // SAFETY: between fork and exec only system calls are made, nothing is allocated.
        unsafe { command.pre_exec(move || inside.join(&cwd).map_err(io::Error::from)) };
    }

    /// Runs `f` on a thread of its own inside; the thread ends with it, so nobody must leave.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let run = || {
            // A thread may change its mount namespace only when it shares no cwd with others.
            unshare(CloneFlags::CLONE_FS).and_then(|()| self.join(c"/"))?;
            Ok(f())
        };
        let done: Result<T, nix::Error> =
            std::thread::scope(|scope| match scope.spawn(run).join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
        done.context("cannot enter the node's namespaces")
    }

    fn join(&self, cwd: &CStr) -> nix::Result<()> {
        setns(&*self.mnt, CloneFlags::CLONE_NEWNS)?;
        setns(&*self.net, CloneFlags::CLONE_NEWNET)?;
        chdir(cwd).or_else(|_| chdir("/"))
    }
}
