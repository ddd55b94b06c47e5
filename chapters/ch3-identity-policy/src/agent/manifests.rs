//! Objects from a directory of manifests, watched: for a lab without an API server.
//!
//! A manifest that stops parsing keeps its last good content, since to forget a policy would
//! let through what it denies. One that never parsed keeps the agent from being ready; if it is
//! ready already, `ebpf-agent status` names the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use kube::runtime::reflector;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use super::engine::Event;
use super::manifest::{Object, Wrap, Writers, parse};
use super::objects::Key;
use super::stores::{Read, Stores, Which, Whole};

/// The directory as it was last read.
struct Manifests {
    directory: PathBuf,
    /// What was in each file when it was good last.
    files: BTreeMap<PathBuf, Vec<Key>>,
    /// The same in full, until it is listed.
    unlisted: Option<BTreeMap<PathBuf, Vec<Object>>>,
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
        unlisted: Some(BTreeMap::new()),
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
        self.read(paths.iter().map(PathBuf::as_path));
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
                if whole {
                    self.read(change.paths.iter().map(PathBuf::as_path));
                }
                Ok(())
            }
            Err(_) => self.read_all(),
        }
    }

    /// Reads files, or forgets them if they are gone. What is in a file changes at once: the
    /// engine sees all of it or nothing.
    fn read<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        let paths = paths.filter(|path| is_manifest(path));
        let files: Vec<_> = paths.map(|path| (path, look(path))).collect();
        let whole = self.whole.clone();
        let _whole = whole.lock();
        for (path, file) in files {
            self.take(path, file);
        }
        self.list();
        let revision = self.read.borrow().revision;
        let keys = Which::These(std::mem::take(&mut self.changed));
        // The engine is gone only when the agent ends.
        let _ = self.events.send(Event::Changed(Instant::now(), keys, revision));
    }

    fn take(&mut self, path: &Path, (stamp, objects): Looked) {
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
        if self.unlisted.is_some() {
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
        if let Some(unlisted) = &mut self.unlisted {
            unlisted.insert(path.into(), objects);
            return;
        }
        self.changed.extend(keys.iter().cloned());
        for object in objects {
            self.writers.write(object, Wrap::Apply);
        }
        for gone in before.into_iter().flatten().filter(|key| !keys.contains(key)) {
            let other = self.files.iter().find(|(_, keys)| keys.contains(&gone));
            match other.map(|(path, _)| path.clone()) {
                Some(other) => self.take(&other, look(&other)),
                None => {
                    self.changed.insert(gone.clone());
                    self.writers.delete(gone);
                }
            }
        }
    }

    /// The reflectors get a whole when nothing is broken, and from then on what changes.
    fn list(&mut self) {
        self.problems.send_replace(self.broken.values().cloned().collect());
        if self.broken.is_empty()
            && let Some(unlisted) = self.unlisted.take()
        {
            self.writers.list(unlisted.into_values().flatten());
        }
        // Last: whoever sees this revision finds it in the reflectors.
        self.read.send_modify(|read| {
            read.revision += 1;
            for (name, stamp) in std::mem::take(&mut self.stamps) {
                match stamp {
                    Some(stamp) => drop(read.files.insert(name, stamp)),
                    None => drop(read.files.remove(&name)),
                }
            }
        });
    }
}

/// A file's stamp, and what is in it; nothing if it is gone.
type Looked = (Option<String>, Result<Vec<Object>>);

fn look(path: &Path) -> Looked {
    let (stamp, text) = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return (None, Ok(Vec::new())),
        Err(error) => (None, Err(error)),
        Ok(mut file) => {
            // Before the text: should that change meanwhile, it is read once more.
            let stamp = file.metadata().ok().filter(Metadata::is_file).map(|it| stamp(&it));
            let mut text = String::new();
            (stamp, file.read_to_string(&mut text).map(|_| text))
        }
    };
    (stamp, text.context("cannot read it").and_then(|text| parse(&text)))
}

fn is_manifest(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|it| it.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|it| it == "yaml" || it == "json")
}

/// By which a file's content is known: its inode, and when it was written in nanoseconds.
pub fn stamp(file: &Metadata) -> String {
    format!("{}:{}.{:09}", file.ino(), file.mtime(), file.mtime_nsec())
}
