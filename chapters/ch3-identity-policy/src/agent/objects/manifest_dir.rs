//! Objects from a directory of manifests, watched: for a lab without an API server.
//!
//! A manifest that stops parsing keeps its last good content, since to forget a policy would
//! let through what it denies. One that never parsed keeps the agent from being ready; if it is
//! ready already, `ebpf-agent status` names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::runtime::reflector;
use tokio::sync::{oneshot, watch};

use super::changed::Notify;
use super::inotify::{ChangedFiles, DirectoryWatch};
use super::key::Key;
use super::manifest::{is_manifest, read_file, read_files};
use super::stores::{Snapshot, Stores, WriteLock};
use super::writers::Writers;

mod contents;

/// So long, at most, a directory that changes all the time is read again and again, to see all of
/// its files as they were at one time.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directory as it was last read.
struct ManifestDir {
    directory: PathBuf,
    /// What was in each file when it was good last.
    files: BTreeMap<PathBuf, Vec<Key>>,
    /// The same the other way round.
    places: BTreeSet<(Key, PathBuf)>,
    /// Have the reflectors got a whole?
    is_listed: bool,
    /// What is wrong with those that are not good now.
    broken: BTreeMap<PathBuf, String>,
    problems: watch::Sender<BTreeSet<String>>,
    /// What was read since the last list: its stamp, or none if the file is gone.
    stamps: BTreeMap<String, Option<String>>,
    snapshot: watch::Sender<Snapshot>,
    writers: Writers,
    /// Objects that the reflectors have got, or lost, and that the engine has not heard of yet.
    changed: BTreeSet<Key>,
    write_lock: WriteLock,
    notify: Notify,
    inotify: DirectoryWatch,
}

/// Follows a directory for ever. `listed` gets the reflectors.
///
/// # Errors
/// The directory is not there, or not any more.
pub fn follow(
    directory: &Path,
    notify: Notify,
    snapshot: watch::Sender<Snapshot>,
    listed: oneshot::Sender<Stores>,
) -> Result<()> {
    let unusable = || format!("cannot watch {}", directory.display());
    let directory = directory.canonicalize().with_context(unusable)?;
    let inotify = DirectoryWatch::new(&directory).with_context(unusable)?;
    let (mut manifests, stores) = ManifestDir::new(directory, inotify, notify, snapshot);
    let _ = listed.send(stores); // nobody waits for it if the agent is ending
    manifests.list()?;
    loop {
        manifests.inotify.wait()?;
        match manifests.is_listed {
            true => manifests.take_in_changed()?,
            false if manifests.inotify.take()? == ChangedFiles::default() => {}
            false => manifests.list()?, // the list is begun anew
        }
    }
}

impl ManifestDir {
    /// Nothing is read yet; what will be is in the stores.
    fn new(
        directory: PathBuf,
        inotify: DirectoryWatch,
        notify: Notify,
        snapshot: watch::Sender<Snapshot>,
    ) -> (Self, Stores) {
        let (pods_store, pods) = reflector::store();
        let (namespaces_store, namespaces) = reflector::store();
        let (policies_store, policies) = reflector::store();
        let (problems, problems_now) = watch::channel(BTreeSet::new());
        let stores = Stores {
            pods: pods_store,
            namespaces: namespaces_store,
            policies: policies_store,
            problems: problems_now,
            snapshot: snapshot.subscribe(),
            write_lock: WriteLock::default(),
        };
        let manifests = Self {
            directory,
            files: BTreeMap::new(),
            places: BTreeSet::new(),
            is_listed: false,
            broken: BTreeMap::new(),
            problems,
            stamps: BTreeMap::new(),
            snapshot,
            writers: Writers { pods, namespaces, policies },
            changed: BTreeSet::new(),
            write_lock: stores.write_lock.clone(),
            notify,
            inotify,
        };
        (manifests, stores)
    }

    /// Reads the whole directory. The reflectors get a whole when nothing is broken, and from
    /// then on what changes.
    fn list(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.writers.begin();
            let paths: Vec<_> = self.paths()?.into_iter().collect();
            read_files(&paths, |path, content| self.take(path, content));
            let changed = self.inotify.take()? != ChangedFiles::default();
            if !changed || Instant::now() > deadline {
                break;
            }
        }
        if self.broken.is_empty() {
            self.writers.end();
            self.is_listed = true;
        }
        self.report();
        Ok(())
    }

    /// All files of the directory, and those that are remembered but gone.
    fn paths(&self) -> Result<BTreeSet<PathBuf>> {
        let unreadable = || format!("cannot read {}", self.directory.display());
        let mut paths: BTreeSet<_> = self.files.keys().chain(self.broken.keys()).cloned().collect();
        for entry in fs::read_dir(&self.directory).with_context(unreadable)? {
            paths.insert(entry.with_context(unreadable)?.path());
        }
        paths.retain(|path| is_manifest(path));
        Ok(paths)
    }

    /// Reads the files that have changed, and takes them in at once: the engine sees the directory
    /// as it was at one time, never one file from before and another from after.
    fn take_in_changed(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut contents = BTreeMap::new();
        loop {
            let ChangedFiles { mut files, all } = self.inotify.take()?;
            if all {
                files = self.paths()?;
            }
            files.retain(|path| is_manifest(path));
            if files.is_empty() {
                break;
            }
            while let Some(path) = files.pop_first() {
                let content = read_file(&path);
                // What is gone from this file may stand in another one, which counts then.
                let others = self.others_with_what_is_gone(&path, &content);
                files.extend(others.filter(|other| !contents.contains_key(other)));
                contents.insert(path, content);
            }
            if Instant::now() > deadline {
                break;
            }
        }
        if !contents.is_empty() {
            let write_lock = self.write_lock.clone();
            let _unread = write_lock.lock();
            contents.into_iter().for_each(|(path, content)| self.take(&path, content));
            self.report();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
