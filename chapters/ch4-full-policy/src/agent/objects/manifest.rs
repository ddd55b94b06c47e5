//! One manifest: the objects in it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use kube::Resource;
use nix::libc;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::json::{Unique, from_value};
use super::key::{Key, Kind};
use super::kinds::{Namespace, NetworkPolicy, Pod, trim};

/// A text of more bytes is no manifest.
const LARGEST: u64 = 64 << 20;
/// As many files are parsed before their objects are taken in: all together would need much memory.
const READ_AHEAD: usize = 256;

/// One object of a manifest.
#[derive(Debug, Clone)]
pub enum Object {
    /// A Pod.
    Pod(Pod),
    /// A Namespace.
    Namespace(Namespace),
    /// A NetworkPolicy, understood or not.
    NetworkPolicy(NetworkPolicy),
}

impl Object {
    /// Its key.
    pub fn key(&self) -> Key {
        let (kind, metadata) = match self {
            Self::Pod(pod) => (Kind::Pod, &pod.metadata),
            Self::Namespace(namespace) => (Kind::Namespace, &namespace.metadata),
            Self::NetworkPolicy(policy) => (Kind::NetworkPolicy, &policy.metadata),
        };
        Key::new(kind, metadata)
    }
}

/// Is this a file to be read?
pub fn is_manifest(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden
        && path.extension().is_some_and(|extension| extension == "yaml" || extension == "json")
}

/// A file's stamp, and its text; nothing if it is gone.
pub type Text = (Option<String>, Result<Option<String>>);
/// A file's stamp, and what is in it; nothing if it is gone.
pub type Content = (Option<String>, Result<Vec<Object>>);

/// What stands in a file.
pub fn read(path: &Path) -> Text {
    // A FIFO would keep us waiting for somebody who writes.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return (None, Ok(None)),
        opened => opened.context("cannot open it"),
    };
    // Before the text: should that change meanwhile, it is read once more.
    let metadata = file.and_then(|file| Ok((file.metadata()?, file)));
    let stamp = metadata.as_ref().ok().filter(|(metadata, _)| metadata.is_file());
    let stamp = stamp.map(|(metadata, _)| stamp_of(metadata));
    let text = metadata.and_then(|(metadata, file)| {
        ensure!(metadata.is_file(), "it is no regular file");
        ensure!(metadata.len() <= LARGEST, "it is larger than {} MiB", LARGEST >> 20);
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).context("cannot read it")?;
        Ok(Some(text))
    });
    (stamp, text)
}

/// By which a file's content is known: its inode, and when it was written in nanoseconds.
pub fn stamp_of(file: &Metadata) -> String {
    format!("{}:{}.{:09}", file.ino(), file.mtime(), file.mtime_nsec())
}

/// What a text says.
pub fn content((stamp, text): Text) -> Content {
    (stamp, text.and_then(|text| text.map_or_else(|| Ok(Vec::new()), |text| parse(&text))))
}

/// Parses texts by as many threads as there are processors, and hands on what is in them, in no
/// order.
pub fn parse_all(texts: BTreeMap<PathBuf, Text>, mut take: impl FnMut(&Path, Content)) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let texts = Mutex::new(texts.into_iter());
    let next = || texts.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let (sender, contents) = sync_channel(READ_AHEAD);
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((path, text)) = next() {
                    let _ = sender.send((path, content(text))); // nobody hangs up before the last
                }
            });
        }
        drop(sender);
        contents.into_iter().for_each(|(path, content)| take(&path, content));
    });
}

/// Reads all documents of a text, or none. An empty file is one that is about to be written.
pub fn parse(text: &str) -> Result<Vec<Object>> {
    let documents = documents(text)?;
    ensure!(!documents.is_empty(), "there is no object in it");
    documents.into_iter().filter_map(|document| parse_object(document).transpose()).collect()
}

/// All documents of a text, whatever they are.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    // What the lab writes is JSON; that is YAML as well, but is read five times as fast.
    let documents: Vec<Value> = match serde_json::from_str(text) {
        Ok(Unique(document)) => vec![document],
        Err(_) => serde_saphyr::from_multiple(text)?,
    };
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn parse_object(document: Value) -> Result<Option<Object>> {
    let text = |key: &str| document[key].as_str().map(String::from);
    let head = text("apiVersion").zip(text("kind"));
    let (version, kind) = head.context("apiVersion and kind must be there, and be text")?;
    Ok(Some(match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => Object::Pod(parse_as(document)?),
        ("v1", "Namespace") => Object::Namespace(parse_as(document)?),
        ("networking.k8s.io/v1", "NetworkPolicy") => Object::NetworkPolicy(parse_as(document)?),
        // Nobody follows them: see `services`.
        ("v1", "Service") | ("discovery.k8s.io/v1", "EndpointSlice") => return Ok(None),
        (version, kind) => bail!("{kind} of {version} means nothing to this agent"),
    }))
}

/// Reads a document as an object of this kind.
pub fn parse_as<K: Resource<DynamicType = ()> + DeserializeOwned>(
    mut document: Value,
) -> Result<K> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_string();
    if name.is_empty() {
        bail!("metadata.name is missing");
    }
    // As kubectl does without --namespace.
    if K::kind(&()) != "Namespace" && document["metadata"]["namespace"].is_null() {
        document["metadata"]["namespace"] = "default".into();
    }
    let object = from_value(document, "");
    let mut object: K = object.map_err(|error| anyhow!("{} {name:?}: {error}", K::kind(&())))?;
    trim(object.meta_mut());
    Ok(object)
}

#[cfg(test)]
mod tests;
