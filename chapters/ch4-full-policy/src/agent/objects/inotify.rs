//! News of a directory, by inotify(7).

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// What the kernel says of a directory. It queues news in the order of the changes, each after its
/// change can be seen: if the queue is empty after files were read, all of them were read as they
/// were at one time.
#[derive(Debug)]
pub struct DirectoryWatch {
    directory: PathBuf,
    /// Device and inode: another directory may come to be at the path.
    inode: (u64, u64),
    queue: Inotify,
    being_written: BTreeSet<PathBuf>,
}

/// What may be others.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChangedFiles {
    /// These files, but those that are being written.
    pub files: BTreeSet<PathBuf>,
    /// Any file: there was more than the queue holds.
    pub all: bool,
}

impl DirectoryWatch {
    /// From now on.
    pub fn new(directory: &Path) -> Result<Self> {
        let news = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let queue = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        queue.add_watch(directory, news)?;
        let inode = inode(directory)?;
        Ok(Self { directory: directory.into(), inode, queue, being_written: BTreeSet::new() })
    }

    /// Returns whether there is some, after so long at most.
    ///
    /// # Errors
    /// Another directory is at the path by then, mounted for instance, or none.
    pub fn wait(&self, patience: Duration) -> Result<bool> {
        let queue = PollFd::new(self.queue.as_fd(), PollFlags::POLLIN);
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let ready = match poll(&mut [queue], patience) {
            Err(Errno::EINTR) => 0,
            ready => ready.context("cannot wait for inotify")?,
        };
        self.ensure(inode(&self.directory).is_ok_and(|inode| inode == self.inode))?;
        Ok(ready > 0)
    }

    /// Files that somebody writes at this moment: half a rule may allow more than the whole one.
    pub fn being_written(&self) -> &BTreeSet<PathBuf> {
        &self.being_written
    }

    /// Empties the queue.
    ///
    /// # Errors
    /// When the directory itself is gone, nothing more is heard of it.
    pub fn take(&mut self) -> Result<ChangedFiles> {
        let mut changed = ChangedFiles::default();
        loop {
            let events = match self.queue.read_events() {
                Err(Errno::EAGAIN) => break,
                events => events.context("cannot read inotify's queue")?,
            };
            for event in events {
                let has = |flag| event.mask.contains(flag);
                self.ensure(!has(AddWatchFlags::IN_IGNORED) && !has(AddWatchFlags::IN_MOVE_SELF))?;
                changed.all |= has(AddWatchFlags::IN_Q_OVERFLOW);
                let Some(name) = event.name.as_ref() else { continue };
                let file = self.directory.join(name);
                if has(AddWatchFlags::IN_CREATE) && !is_link(&file) {
                    continue; // a new file is written and closed
                }
                match has(AddWatchFlags::IN_MODIFY) {
                    true => self.being_written.insert(file),
                    false => self.being_written.remove(&file) | changed.files.insert(file),
                };
            }
        }
        if changed.all {
            self.being_written.clear(); // that they were closed may be what was lost
        }
        changed.files.retain(|file| !self.being_written.contains(file));
        Ok(changed)
    }

    fn ensure(&self, is_there: bool) -> Result<()> {
        let directory = self.directory.display();
        ensure!(is_there, "{directory} was removed, renamed or mounted over: start the agent anew");
        Ok(())
    }
}

/// A file that is complete as soon as it is there.
fn is_link(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|file| file.is_symlink() || file.nlink() > 1)
}

fn inode(directory: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(directory).map(|directory| (directory.dev(), directory.ino()))
}
