//! The pod's network namespace: opened once, entered only to open a socket in it.

use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::libc::O_NONBLOCK;
use nix::sched::{CloneFlags, setns};

use crate::error::{CniError, code};

/// An open network namespace that is not our own.
#[derive(Debug)]
pub struct NetNs {
    path: PathBuf,
    pod: File,
    own: File,
}

impl NetNs {
    /// Opens `CNI_NETNS`. Error 4 if it is no namespace, or the one we are in: a stale
    /// `/proc/PID/ns/net` may lead back to the node, which must not become a pod.
    pub fn open(path: &Path) -> Result<Self, CniError> {
        // O_NONBLOCK: opening a FIFO must not wait for its other end.
        let opened = File::options().read(true).custom_flags(O_NONBLOCK).open(path);
        let pod = opened.map_err(|e| invalid(path, &format!("cannot be opened: {e}")))?;
        let own = File::open("/proc/thread-self/ns/net")
            .context("cannot open /proc/thread-self/ns/net")?;
        if inode(&pod)? == inode(&own)? {
            return Err(invalid(path, "is the node's own namespace"));
        }
        Ok(Self { path: path.to_path_buf(), pod, own })
    }

    // #region enter
    /// Runs `f` inside. A socket that `f` opens stays in there for ever; we do not.
    /// Error 4 if it is no network namespace, which only the kernel can say.
    ///
    /// `setns` is for the calling thread; the plugin has only this one.
    pub fn enter<T>(&self, f: impl FnOnce() -> T) -> Result<T> {
        setns(&self.pod, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| invalid(&self.path, &format!("cannot be entered: {errno}")))?;
        let value = f();
        setns(&self.own, CloneFlags::CLONE_NEWNET).context("cannot leave the pod's namespace")?;
        Ok(value)
    }
    // #endregion enter

    /// `CNI_NETNS`, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For `IFLA_NET_NS_FD`: where the kernel shall put a new link.
    pub fn fd(&self) -> RawFd {
        self.pod.as_raw_fd()
    }
}

/// The device and inode of its file, by which a namespace is known (namespaces(7)).
fn inode(namespace: &File) -> Result<(u64, u64)> {
    let metadata = namespace.metadata().context("cannot look at a network namespace")?;
    Ok((metadata.dev(), metadata.ino()))
}

fn invalid(path: &Path, rule: &str) -> CniError {
    let details = format!("CNI_NETNS={path:?} {rule}");
    CniError::new(code::INVALID_ENVIRONMENT, "CNI_NETNS is no pod's namespace", details)
}
