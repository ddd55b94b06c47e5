//! What was read of each file, and what becomes of the objects in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::ManifestDir;
use super::paths::name_of;
use crate::agent::objects::changed::{Changed, Which};
use crate::agent::objects::key::Key;
use crate::agent::objects::manifest::{Content, Object};
use crate::agent::objects::writers::Wrap;

impl ManifestDir {
    /// The other files with an object that one of these has no more.
    pub(super) fn others_with_what_is_gone(
        &self,
        contents: &BTreeMap<PathBuf, Content>,
    ) -> BTreeSet<PathBuf> {
        let mut others = BTreeSet::new();
        for (path, (_, objects)) in contents {
            let Ok(objects) = objects else { continue };
            let now: BTreeSet<_> = objects.iter().map(Object::key).collect();
            let before = self.files.get(path).into_iter().flatten();
            for gone in before.filter(|key| !now.contains(key)) {
                others.extend(files_with(&self.places, gone).map(PathBuf::from));
            }
        }
        others.retain(|other| !contents.contains_key(other));
        others
    }

    pub(super) fn report(&mut self) {
        let unfinished = self.unfinished.intersection(self.inotify.being_written());
        let unfinished = unfinished.map(|path| {
            format!("{} is not closed by who writes it: nothing of it is read", name_of(path))
        });
        let problems = self.broken.values().chain(self.ambiguous.values()).cloned();
        let problems: BTreeSet<_> = problems.chain(unfinished).collect();
        if !self.is_listed {
            problems.iter().for_each(|problem| tracing::error!("{problem}")); // else the engine does
        }
        self.problems.send_replace(problems);
        // A revision that can be seen is in the reflectors already.
        self.snapshot.send_modify(|snapshot| {
            snapshot.revision += 1;
            for (name, stamp) in std::mem::take(&mut self.stamps) {
                match stamp {
                    Some(stamp) => drop(snapshot.files.insert(name, stamp)),
                    None => drop(snapshot.files.remove(&name)),
                }
            }
        });
        let revision = self.snapshot.borrow().revision;
        let which = Which::These(std::mem::take(&mut self.changed));
        (self.notify)(Changed { since: Instant::now(), which, revision });
    }

    /// Takes in a file of the first list.
    pub(super) fn list_one(&mut self, path: &Path, content: Content) {
        if let Some(objects) = self.understand(path, content) {
            self.place(path, &objects);
            self.write(path, objects, Wrap::InitApply);
        }
    }

    /// Takes in files that have changed together.
    pub(super) fn replace(&mut self, contents: BTreeMap<PathBuf, Content>) {
        let mut gone = BTreeSet::new();
        let mut understood = Vec::new();
        for (path, content) in contents {
            if let Some(objects) = self.understand(&path, content) {
                gone.extend(self.place(&path, &objects));
                understood.push((path, objects));
            }
        }
        for (path, objects) in understood {
            self.write(&path, objects, Wrap::Apply);
        }
        for key in gone {
            if files_with(&self.places, &key).next().is_none() {
                self.changed.insert(key.clone());
                self.writers.delete(key);
            }
        }
    }

    /// The objects of a file that can be read.
    fn understand(&mut self, path: &Path, (stamp, objects): Content) -> Option<Vec<Object>> {
        self.stamps.insert(name_of(path), stamp);
        match objects {
            Ok(objects) => {
                self.broken.remove(path);
                Some(objects)
            }
            Err(error) => {
                self.complain(path, &error);
                None
            }
        }
    }

    fn complain(&mut self, path: &Path, error: &anyhow::Error) {
        let name = name_of(path);
        let problem = match self.files.contains_key(path) {
            true => format!("{name} is not understood, its last good content holds: {error:#}"),
            false => format!("{name} is not understood, its objects are not known: {error:#}"),
        };
        self.broken.insert(path.into(), problem);
    }

    /// A file has these objects now. Returns those that it had.
    fn place(&mut self, path: &Path, objects: &[Object]) -> Vec<Key> {
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
        for key in before.iter().chain(&keys) {
            let files: Vec<_> = files_with(&self.places, key).map(name_of).collect();
            match files.as_slice() {
                [_, .., last] => {
                    let files = files.join(" and ");
                    let problem =
                        format!("{} is in {files}: what {last} says counts", key.full_name());
                    self.ambiguous.insert(key.clone(), problem);
                }
                _ => drop(self.ambiguous.remove(key)),
            }
        }
        before
    }

    /// Writes a file's objects into the reflectors. One in several files is as the last of them
    /// says.
    fn write(&mut self, path: &Path, objects: Vec<Object>, wrap: Wrap) {
        for object in objects {
            let key = object.key();
            if files_with(&self.places, &key).last() == Some(path) {
                self.changed.insert(key);
                self.writers.write(object, wrap);
            }
        }
    }
}

/// The files with this object, in order.
fn files_with<'a>(
    places: &'a BTreeSet<(Key, PathBuf)>,
    object: &'a Key,
) -> impl Iterator<Item = &'a Path> {
    let places = places.range((object.clone(), PathBuf::new())..);
    places.take_while(move |(key, _)| key == object).map(|(_, path)| path.as_path())
}
