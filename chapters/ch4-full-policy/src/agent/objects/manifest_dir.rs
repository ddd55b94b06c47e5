//! Objects from a directory of manifests, watched: for a lab without an API server.
//!
//! A manifest that stops parsing keeps its last good content, since to forget a policy would
//! let through what it denies. One that never parsed keeps the agent from being ready; if it is
//! ready already, `ebpf-agent status` names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::runtime::reflector;
use tokio::sync::{oneshot, watch};

use super::changed::Notify;
use super::inotify::{ChangedFiles, DirectoryWatch};
use super::key::Key;
use super::manifest::{Text, is_manifest, parse_all, read};
use super::stores::{Snapshot, Stores, WriteLock};
use super::writers::Writers;

mod contents;
mod paths;

/// So long, at most, a directory that changes all the time is read again and again, to see all of
/// its files as they were at one time.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often all files are looked at, whatever inotify says: one behind a symlink changes unheard.
const RESYNC: Duration = Duration::from_secs(10);

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
    /// Files that somebody was writing, for long, when we looked last.
    unfinished: BTreeSet<PathBuf>,
    /// Objects that stand in several files, and which one counts.
    ambiguous: BTreeMap<Key, String>,
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
        let is_news = manifests.inotify.wait(RESYNC)?;
        match manifests.is_listed {
            _ if !is_news => manifests.resync()?,
            true => manifests.take_in(BTreeSet::new())?,
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
            unfinished: BTreeSet::new(),
            ambiguous: BTreeMap::new(),
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
        self.writers.begin();
        let texts = self.read(self.paths()?)?;
        (self.files, self.places, self.ambiguous) = Default::default();
        parse_all(texts, |path, content| self.list_one(path, content));
        if self.broken.is_empty() && self.inotify.being_written().is_empty() {
            self.writers.end();
            self.is_listed = true;
        }
        self.report();
        Ok(())
    }

    /// Nothing has happened for long. Finds out what inotify does not say.
    fn resync(&mut self) -> Result<()> {
        let mut unfinished = self.inotify.being_written().clone();
        unfinished.retain(|path| is_manifest(path));
        if unfinished != self.unfinished {
            self.unfinished = unfinished;
            self.report();
        }
        match self.is_listed {
            true => self.take_in(self.stale()?),
            false => Ok(()),
        }
    }

    // #region snapshot
    /// Reads files, and what changes meanwhile: the texts are those of one time, never one file's
    /// from before and another's from after. They are parsed later, which may take long.
    fn read(&mut self, mut files: BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, Text>> {
        let deadline = Instant::now() + PATIENCE;
        let mut texts = BTreeMap::new();
        loop {
            let changed = self.inotify.take()?;
            files.extend(if changed.all { self.paths()? } else { changed.files });
            files.retain(|path| is_manifest(path));
            let being_written = self.inotify.being_written();
            texts.retain(|path, _| !being_written.contains(path));
            files.retain(|path| !being_written.contains(path));
            let is_stable = files.is_empty();
            let paths = std::mem::take(&mut files).into_iter();
            texts.extend(paths.map(|path| (path.clone(), read(&path))));
            if is_stable || Instant::now() > deadline {
                return Ok(texts);
            }
        }
    }
    // #endregion snapshot

    /// Takes in at once these files, and what has changed.
    fn take_in(&mut self, mut files: BTreeSet<PathBuf>) -> Result<()> {
        let mut contents = BTreeMap::new();
        loop {
            let texts = self.read(std::mem::take(&mut files))?;
            parse_all(texts, |path, content| drop(contents.insert(path.into(), content)));
            // What is gone from a file may stand in another one, which counts then.
            files.extend(self.others_with_what_is_gone(&contents));
            if files.is_empty() {
                break;
            }
        }
        if !contents.is_empty() {
            let write_lock = self.write_lock.clone();
            let _unread = write_lock.lock();
            self.replace(contents);
            self.report();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
