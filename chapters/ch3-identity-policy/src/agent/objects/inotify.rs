//! News of a directory, by inotify(7).

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Of what has changed. The kernel queues news in the order of the changes, each after its change
/// can be seen: if the queue is empty after files were read, all of them were seen as of one time.
#[derive(Debug)]
pub struct DirectoryWatch {
    directory: PathBuf,
    queue: Inotify,
}

/// What may be others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChangedFiles {
    /// These files.
    pub files: BTreeSet<PathBuf>,
    /// Any file: there was more than the queue holds.
    pub all: bool,
}

impl DirectoryWatch {
    /// From now on.
    pub fn new(directory: &Path) -> Result<Self> {
        // A file that is being written is not looked at before it is closed: half a rule may
        // allow more than the whole one.
        let news = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        let queue = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        queue.add_watch(directory, news)?;
        Ok(Self { directory: directory.into(), queue })
    }

    /// Returns when there is some.
    pub fn wait(&self) -> Result<()> {
        match poll(&mut [PollFd::new(self.queue.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for inotify"),
        }
    }

    /// Empties the queue.
    ///
    /// # Errors
    /// When the directory itself is gone, nothing more is heard of it.
    pub fn take(&self) -> Result<ChangedFiles> {
        let mut changed = ChangedFiles::default();
        loop {
            let events = match self.queue.read_events() {
                Err(Errno::EAGAIN) => return Ok(changed),
                events => events.context("cannot read inotify's queue")?,
            };
            for event in events {
                changed.all |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                let is_gone = event.mask.contains(AddWatchFlags::IN_IGNORED);
                ensure!(!is_gone, "{} was removed: start the agent anew", self.directory.display());
                changed.files.extend(event.name.map(|name| self.directory.join(name)));
            }
        }
    }
}
