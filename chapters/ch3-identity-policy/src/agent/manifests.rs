//! Objects from a directory of manifests, watched: for a lab without an API server.
//!
//! A manifest that stops parsing keeps its last good content, since to forget a policy would
//! let through what it denies. One that never parsed keeps the agent from being ready; if it is
//! ready already, `ebpf-agent status` names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use kube::runtime::reflector;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use super::engine::Event;
use super::manifest::{Content, Object, Wrap, Writers, is_manifest, read_file, read_files};
use super::objects::Key;
use super::stores::{Read, Stores, Which, Whole};

/// The directory as it was last read.
struct Manifests {
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
    read: watch::Sender<Read>,
    writers: Writers,
    /// Objects that the reflectors have got, or lost, and the engine was not told of yet.
    changed: BTreeSet<Key>,
    whole: Whole,
    events: mpsc::Sender<Event>,
}

/// Starts watching a directory.
pub fn watch(
    directory: &Path,
    events: mpsc::Sender<Event>,
    read: watch::Sender<Read>,
) -> Result<Stores> {
    let unusable = || format!("cannot watch {}", directory.display());
    let (changes, mut changed) = unbounded_channel();
    // Before the first look: what changes meanwhile is looked at once more.
    let mut watcher = notify::recommended_watcher(move |change: notify::Result<notify::Event>| {
        let _ = changes.send(change);
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive).with_context(unusable)?;

    let (pods_store, pods) = reflector::store();
    let (namespaces_store, namespaces) = reflector::store();
    let (policies_store, policies) = reflector::store();
    let (problems, problems_now) = watch::channel(BTreeSet::new());
    let read_now = read.subscribe();
    let whole = Whole::default();
    let mut manifests = Manifests {
        directory: directory.canonicalize().with_context(unusable)?,
        files: BTreeMap::new(),
        places: BTreeSet::new(),
        is_listed: false,
        broken: BTreeMap::new(),
        problems,
        stamps: BTreeMap::new(),
        read,
        writers: Writers { pods, namespaces, policies },
        changed: BTreeSet::new(),
        whole: whole.clone(),
        events,
    };
    manifests.read_all()?;
    tokio::spawn(async move {
        let _watcher = watcher; // it ends with this task
        while let Some(change) = changed.recv().await {
            if let Err(error) = manifests.change(change) {
                tracing::error!("{error:#}");
            }
        }
    });
    Ok(Stores {
        pods: pods_store,
        namespaces: namespaces_store,
        policies: policies_store,
        problems: problems_now,
        read: read_now,
        whole,
    })
}

impl Manifests {
    /// Reads the whole directory, and what is remembered but gone.
    fn read_all(&mut self) -> Result<()> {
        let unreadable = || format!("cannot read {}", self.directory.display());
        let mut paths: BTreeSet<_> = self.files.keys().chain(self.broken.keys()).cloned().collect();
        for entry in fs::read_dir(&self.directory).with_context(unreadable)? {
            paths.insert(entry.with_context(unreadable)?.path());
        }
        if !self.is_listed {
            self.writers.begin();
        }
        let paths: Vec<_> = paths.into_iter().filter(|path| is_manifest(path)).collect();
        let whole = self.whole.clone();
        read_files(&paths, |path, content| {
            let _whole = whole.lock();
            self.take(path, content);
            if self.is_listed {
                self.tell();
            }
        });
        // The reflectors get a whole when nothing is broken, and from then on what changes.
        if !self.is_listed && self.broken.is_empty() {
            self.writers.end();
            self.is_listed = true;
        }
        self.tell();
        Ok(())
    }

    /// A file that is being written is not looked at before it is closed: half a rule may allow
    /// more than the whole one.
    fn change(&mut self, change: notify::Result<notify::Event>) -> Result<()> {
        use notify::EventKind::{Access, Modify, Remove};
        use notify::event::{AccessKind, AccessMode, ModifyKind};
        match change {
            Ok(change) if change.need_rescan() => self.read_all(),
            Ok(change) => {
                let whole = matches!(
                    change.kind,
                    Access(AccessKind::Close(AccessMode::Write))
                        | Modify(ModifyKind::Name(_))
                        | Remove(_)
                );
                match self.is_listed {
                    _ if !whole => {}
                    true => {
                        let paths = change.paths.iter().map(PathBuf::as_path);
                        let paths = paths.filter(|path| is_manifest(path));
                        let files: Vec<_> = paths.map(|path| (path, read_file(path))).collect();
                        self.take_in(files.into_iter());
                    }
                    false => return self.read_all(), // the list is begun anew
                }
                Ok(())
            }
            Err(_) => self.read_all(),
        }
    }

    /// Files have been read. What is in a file changes at once: the engine sees all of it or
    /// nothing.
    fn take_in<'a>(&mut self, files: impl Iterator<Item = (&'a Path, Content)>) {
        let whole = self.whole.clone();
        let _whole = whole.lock();
        for (path, content) in files {
            self.take(path, content);
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.problems.send_replace(self.broken.values().cloned().collect());
        // Whoever sees this revision finds it in the reflectors.
        self.read.send_modify(|read| {
            read.revision += 1;
            for (name, stamp) in std::mem::take(&mut self.stamps) {
                match stamp {
                    Some(stamp) => drop(read.files.insert(name, stamp)),
                    None => drop(read.files.remove(&name)),
                }
            }
        });
        let revision = self.read.borrow().revision;
        let keys = Which::These(std::mem::take(&mut self.changed));
        // The engine is gone only when the agent ends.
        let _ = self.events.send(Event::Changed(Instant::now(), keys, revision));
    }

    fn take(&mut self, path: &Path, (stamp, objects): Content) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.stamps.insert(name.into(), stamp);
        match objects {
            Ok(objects) => {
                self.broken.remove(path);
                self.replace(path, objects);
            }
            Err(error) => self.complain(path, &error),
        }
    }

    fn complain(&mut self, path: &Path, error: &anyhow::Error) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let problem = match self.files.contains_key(path) {
            true => format!("{name} is not understood, its last good content holds: {error:#}"),
            false => format!("{name} is not understood, its objects are not known: {error:#}"),
        };
        if !self.is_listed {
            tracing::error!("{problem}"); // once it is, the engine tells it
        }
        self.broken.insert(path.into(), problem);
    }

    /// A file has other objects now. One that it has no more may still stand in another file.
    fn replace(&mut self, path: &Path, objects: Vec<Object>) {
        let keys: Vec<_> = objects.iter().map(Object::key).collect();
        let before = match keys.is_empty() {
            true => self.files.remove(path),
            false => self.files.insert(path.into(), keys.clone()),
        };
        let before = before.unwrap_or_default();
        for key in &before {
            self.places.remove(&(key.clone(), path.into()));
        }
        self.places.extend(keys.iter().map(|key| (key.clone(), path.into())));
        if !self.is_listed {
            // An object in several files is as the last of them says.
            let last = |key: &Key| self.places.range((key.clone(), path.into())..).nth(1);
            let counts = |key: &Key| last(key).is_none_or(|(other, _)| other != key);
            for object in objects.into_iter().filter(|object| counts(&object.key())) {
                self.writers.write(object, Wrap::InitApply);
            }
            return;
        }
        self.changed.extend(keys.iter().cloned());
        objects.into_iter().for_each(|object| self.writers.write(object, Wrap::Apply));
        for gone in before.into_iter().filter(|key| !keys.contains(key)) {
            let other = self.places.range((gone.clone(), PathBuf::new())..).next();
            match other.filter(|(key, _)| *key == gone).map(|(_, path)| path.clone()) {
                Some(other) => self.take(&other, read_file(&other)),
                None => {
                    self.changed.insert(gone.clone());
                    self.writers.delete(gone);
                }
            }
        }
    }
}
