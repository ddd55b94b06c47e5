//! What was read of each file, and what becomes of the objects in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::ManifestDir;
use crate::agent::objects::changed::{Changed, Which};
use crate::agent::objects::key::Key;
use crate::agent::objects::manifest::{Content, Object};
use crate::agent::objects::writers::Wrap;

impl ManifestDir {
    /// The other files with an object that this one has no more.
    pub(super) fn others_with_what_is_gone(
        &self,
        path: &Path,
        (_, objects): &Content,
    ) -> impl Iterator<Item = PathBuf> {
        let now: BTreeSet<_> = objects.iter().flatten().map(Object::key).collect();
        let before = self.files.get(path).filter(|_| objects.is_ok()).into_iter().flatten();
        let gone = before.filter(move |key| !now.contains(key));
        let others = gone.flat_map(|key| files_with(&self.places, key));
        others.filter(move |other| *other != path).map(PathBuf::from)
    }

    pub(super) fn report(&mut self) {
        self.problems.send_replace(self.broken.values().cloned().collect());
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

    pub(super) fn take(&mut self, path: &Path, (stamp, objects): Content) {
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
            tracing::error!("{problem}"); // once it is, the engine logs it
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
            let counts = |key: &Key| files_with(&self.places, key).last() == Some(path);
            for object in objects.into_iter().filter(|object| counts(&object.key())) {
                self.writers.write(object, Wrap::InitApply);
            }
            return;
        }
        self.changed.extend(keys.iter().cloned());
        objects.into_iter().for_each(|object| self.writers.write(object, Wrap::Apply));
        for gone in before.into_iter().filter(|key| !keys.contains(key)) {
            // If it stands in another file, that one is taken in as well.
            if files_with(&self.places, &gone).next().is_none() {
                self.changed.insert(gone.clone());
                self.writers.delete(gone);
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
