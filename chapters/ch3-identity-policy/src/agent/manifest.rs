//! One manifest: its objects, and their way into the reflectors.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects::{self, Key, Kind, Namespace, NetworkPolicy, Pod, trim};

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
            Self::Pod(it) => (Kind::Pod, &it.metadata),
            Self::Namespace(it) => (Kind::Namespace, &it.metadata),
            Self::NetworkPolicy(it) => (Kind::NetworkPolicy, &it.metadata),
        };
        Key::new(kind, metadata)
    }
}

/// Reads all documents of a file, or none. An empty file is one that is about to be written.
pub fn parse(text: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let documents = documents.into_iter().filter(|it| !it.is_null());
    let objects = documents.map(object).collect::<Result<Vec<_>>>()?;
    ensure!(!objects.is_empty(), "there is no object in it");
    Ok(objects)
}

fn object(document: Value) -> Result<Object> {
    let text = |key: &str| document[key].as_str().map(String::from);
    let head = text("apiVersion").zip(text("kind"));
    let (version, kind) = head.context("apiVersion and kind must be there, and be text")?;
    Ok(match (version.as_str(), kind.as_str()) {
        ("v1", "Pod") => Object::Pod(read(document)?),
        ("v1", "Namespace") => Object::Namespace(read(document)?),
        ("networking.k8s.io/v1", "NetworkPolicy") => Object::NetworkPolicy(read(document)?),
        (version, kind) => bail!("{kind} of {version} means nothing to this agent"),
    })
}

fn read<K: Resource<DynamicType = ()> + DeserializeOwned>(mut document: Value) -> Result<K> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_string();
    if name.is_empty() {
        bail!("metadata.name is missing");
    }
    // As kubectl does without --namespace.
    if K::kind(&()) != "Namespace" && document["metadata"]["namespace"].is_null() {
        document["metadata"]["namespace"] = "default".into();
    }
    let object = objects::read(document, "");
    let mut object: K = object.map_err(|error| anyhow!("{} {name:?}: {error}", K::kind(&())))?;
    trim(object.meta_mut());
    Ok(object)
}

/// Where reflectors take objects in.
#[derive(Debug)]
pub struct Writers {
    /// Of pods.
    pub pods: Writer<Pod>,
    /// Of namespaces.
    pub namespaces: Writer<Namespace>,
    /// Of policies.
    pub policies: Writer<NetworkPolicy>,
}

impl Writers {
    /// An object becomes an event, as a watch would bring it.
    pub fn write(&mut self, object: Object, as_event: Wrap) {
        match object {
            Object::Pod(it) => self.pods.apply_watcher_event(&as_event.event(it)),
            Object::Namespace(it) => self.namespaces.apply_watcher_event(&as_event.event(it)),
            Object::NetworkPolicy(it) => self.policies.apply_watcher_event(&as_event.event(it)),
        }
    }

    /// An object is gone.
    pub fn delete(&mut self, Key { kind, namespace, name }: Key) {
        let metadata = ObjectMeta { namespace, name, ..ObjectMeta::default() };
        let object = match kind {
            Kind::Pod => Object::Pod(Pod { metadata, ..Pod::default() }),
            Kind::Namespace => Object::Namespace(Namespace { metadata }),
            Kind::NetworkPolicy => {
                Object::NetworkPolicy(NetworkPolicy { metadata, ..NetworkPolicy::default() })
            }
        };
        self.write(object, Wrap::Delete);
    }

    /// A first list.
    pub fn list(&mut self, objects: impl Iterator<Item = Object>) {
        self.pods.apply_watcher_event(&watcher::Event::Init);
        self.namespaces.apply_watcher_event(&watcher::Event::Init);
        self.policies.apply_watcher_event(&watcher::Event::Init);
        objects.for_each(|object| self.write(object, Wrap::InitApply));
        self.pods.apply_watcher_event(&watcher::Event::InitDone);
        self.namespaces.apply_watcher_event(&watcher::Event::InitDone);
        self.policies.apply_watcher_event(&watcher::Event::InitDone);
    }
}

/// Which event an object becomes.
#[derive(Debug, Clone, Copy)]
pub enum Wrap {
    /// It is in the first list.
    InitApply,
    /// It is new, or another.
    Apply,
    /// It is gone.
    Delete,
}

impl Wrap {
    fn event<K>(self, object: K) -> watcher::Event<K> {
        match self {
            Self::InitApply => watcher::Event::InitApply(object),
            Self::Apply => watcher::Event::Apply(object),
            Self::Delete => watcher::Event::Delete(object),
        }
    }
}
