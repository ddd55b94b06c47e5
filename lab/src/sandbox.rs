//! A pod sandbox: a network namespace with a name, as the runtime makes it before it calls CNI.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use serde::{Deserialize, Serialize};
use std::os::fd::AsRawFd as _;

use crate::namespaces::Namespaces;
use crate::node::{Node, output_of};

/// A network namespace under `/run/netns` of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    id: String,
    netns: String,
}

impl Node {
    /// Makes a sandbox: a new network namespace with `lo` up, and no plugin called.
    pub fn sandbox(&self) -> Result<Sandbox> {
        let hex = |digits: usize| -> String { (0..digits).map(|_| fastrand::digit(16)).collect() };
        // As containerd names them: a container ID of 64 hex digits, a namespace `cni-UUID`.
        let name = format!("cni-{}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12));
        let sandbox = Sandbox { id: hex(64), netns: format!("/var/run/netns/{name}") };
        let file = format!("/run/netns/{name}");
        self.enter(|| make_netns(&file))?.with_context(|| format!("cannot make {file}"))?;
        Ok(sandbox)
    }
}

impl Sandbox {
    /// `CNI_CONTAINERID`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `CNI_NETNS`, as seen in the node.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// A command that will run in the pod's network and the node's mounts.
    pub fn command(&self, node: &Node, program: &str) -> Result<Command> {
        let mut command = Command::new(program);
        self.namespaces(node)?.apply(&mut command);
        Ok(command)
    }

    /// Runs a command in the pod and returns its stdout; its failure is an error.
    pub fn run(&self, node: &Node, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().context("no command given")?;
        output_of(self.command(node, program)?.args(args))
    }

    /// Runs a closure on a thread in the pod's network: a socket it opens stays there.
    pub fn enter<T: Send>(&self, node: &Node, f: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespaces(node)?.enter(f)
    }

    fn namespaces(&self, node: &Node) -> Result<Namespaces> {
        let inside = node.namespaces.with_net(&node.path(&self.netns));
        inside.with_context(|| format!("the pod's namespace {} is gone", self.netns))
    }

    /// Removes the namespace; the kernel takes along what is left in it. Twice is no error.
    ///
    /// From outside of the node, where the file is no mount point: then the kernel removes it, and
    /// with it whatever is mounted on it in any mount namespace (8ed936b5671b, Linux 3.18). From
    /// inside it is "busy" as long as one mount of it is out of reach below another.
    pub fn remove(&self, node: &Node) -> Result<()> {
        match fs::remove_file(node.path(&self.netns)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.netns))
            }
            _ => Ok(()),
        }
    }
}

/// A new namespace of this thread, bound to a file so that it outlives the thread.
fn make_netns(file: &str) -> Result<()> {
    File::create_new(file)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    set_lo_up()?;
    let own = PathBuf::from("/proc/thread-self/ns/net");
    mount(Some(&own), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

nix::ioctl_write_ptr_bad!(set_interface_flags, libc::SIOCSIFFLAGS, libc::ifreq);

/// `ip link set lo up`, which containerd has the loopback plugin do.
fn set_lo_up() -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain C data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one ifreq, which lives until the call returns.
    unsafe { set_interface_flags(socket.as_raw_fd(), &request) }?;
    Ok(())
}
