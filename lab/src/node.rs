//! A node: a network and a mount namespace, held by one process.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};

use crate::namespaces::Namespaces;
use crate::out::warn;
use crate::processes;

/// Where plugins and their configurations are, as on every Kubernetes node.
pub(crate) const CNI_BIN: &str = "/opt/cni/bin";
pub(crate) const CNI_CONF: &str = "/etc/cni/net.d";

/// A fake Kubernetes node.
#[derive(Debug)]
pub struct Node {
    name: String,
    pub(crate) id: String,
    pid: u32,
    pub(crate) namespaces: Namespaces,
    /// Set if the node goes when this value goes: it holds the other end of the holder's stdin,
    /// so the node goes as well when this process is killed.
    holder: Option<Child>,
}

impl Node {
    /// A throw-away node for a test, gone on drop. Needs root.
    pub fn new() -> Result<Self> {
        let id = format!("test-{:016x}", fastrand::u64(..));
        let mut holder = start_holder(&id, Stdio::piped(), "")?;
        match Self::made(&id, &id, &mut holder) {
            Ok(mut node) => {
                node.holder = Some(holder);
                Ok(node)
            }
            Err(error) => {
                // Both fail only if it has ended by itself.
                let _ = holder.kill();
                let _ = holder.wait();
                Err(error)
            }
        }
    }

    /// A node that outlives this process; [`crate::registry`] remembers it by id and pid.
    pub(crate) fn new_kept(name: &str, id: &str) -> Result<Self> {
        let mut holder = start_holder(id, Stdio::null(), "1")?;
        Self::made(name, id, &mut holder)
    }

    /// The node of a new holder, with the namespace that every cluster has.
    fn made(name: &str, id: &str, holder: &mut Child) -> Result<Self> {
        wait_until_ready(holder)?;
        let node = Self::of_holder(name, id, holder.id())?;
        node.ensure_namespace("default")?;
        Ok(node)
    }

    /// The node that a running holder holds; an error if that process holds no such node.
    pub(crate) fn of_holder(name: &str, id: &str, pid: u32) -> Result<Self> {
        ensure!(processes::is_in_node(pid, id), "node {name} is gone: its holder has ended");
        let namespaces = Namespaces::of(pid)?;
        Ok(Self { name: name.into(), id: id.into(), pid, namespaces, holder: None })
    }

    /// The node's name, as `kubectl get nodes` would show it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process that holds the namespaces.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A file of the node, as it is seen from outside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        // A symlink like /var/run would lead back out of the node.
        let inside = inside
            .strip_prefix("/var/run")
            .map_or(inside.into(), |rest| Path::new("/run").join(rest));
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(&inside))
    }

    /// A command that will run inside the node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.namespaces.apply(&mut command);
        command
    }

    /// Runs a command inside and returns its stdout; its failure is an error with all it said.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let Some((program, args)) = argv.split_first() else { bail!("no command given") };
        output_of(self.command(program).args(args))
    }

    /// Runs a shell script inside, up to its first failing command.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.run(&["sh", "-ec", script])
    }

    /// Runs a closure on a thread inside the node's namespaces.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespaces.enter(f)
    }

    /// Puts a program into `/opt/cni/bin` as `ebpfcni`, by rename: a running one is not disturbed.
    pub fn install_plugin(&self, binary: &Path) -> Result<()> {
        self.install_program(binary, &format!("{CNI_BIN}/ebpfcni"))
    }

    pub(crate) fn install_program(&self, binary: &Path, path: &str) -> Result<()> {
        let path = self.path(path);
        let temporary = path.with_file_name(format!(".{:x}", fastrand::u64(..)));
        // By `cp`: had this process the file open for writing while another of its threads forks,
        // its first call could fail with ETXTBSY.
        output_of(Command::new("cp").args(["--", &binary.to_string_lossy()]).arg(&temporary))?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot install {}", path.display()))
    }

    /// Writes a configuration into `/etc/cni/net.d`, by rename: nobody reads half of it.
    pub fn write_config(&self, file_name: &str, json: &str) -> Result<()> {
        self.write_by_rename(&format!("{CNI_CONF}/{file_name}"), json.as_bytes())
    }

    pub(crate) fn write_by_rename(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(path);
        let temporary = path.with_file_name(format!(".{:x}", fastrand::u64(..)));
        fs::write(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            if let Err(error) = processes::stop(&self.id) {
                warn(format_args!("lab: {error:#}"));
            }
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

fn start_holder(id: &str, stdin: Stdio, keep: &str) -> Result<Child> {
    ensure!(nix::unistd::geteuid().is_root(), "a node needs root: run it with sudo");
    let mut command = Command::new("sh");
    command.args(["-c", include_str!("node.sh")]).env("LAB_ID", id).env("LAB_KEEP", keep);
    command.stdin(stdin).stdout(Stdio::piped()).current_dir("/");
    let isolate = || {
        // Its own session: Ctrl-C at the terminal is not for the node.
        nix::unistd::setsid()?;
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated.
    unsafe { command.pre_exec(isolate) };
    command.spawn().context("cannot start the node's holder")
}

fn wait_until_ready(holder: &mut Child) -> Result<()> {
    let mut line = String::new();
    let stdout = holder.stdout.take().context("the holder has no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(line == "READY\n", "the node could not be set up; what failed stands above");
    Ok(())
}

/// Runs a command; its failure becomes an error with all it said.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}
