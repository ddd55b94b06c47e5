//! Kubernetes objects as people write them: documents become objects, or a sentence says which
//! field of which document is wrong.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Map, Value, json};
use serde_saphyr::UserMessageFormatter;

use crate::kind::Kind;

/// The label that the API server gives every namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// An object that somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its namespace; empty for a namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole of it, without what only the API server sets.
    pub value: Value,
}

impl Object {
    /// A namespace with these labels.
    pub fn namespace(name: &str, labels: &BTreeMap<String, String>) -> Result<Self> {
        let metadata = json!({ "name": name, "labels": labels });
        Self::new(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
    }

    /// All objects of some YAML or JSON: of several documents, and of lists.
    pub fn parse(yaml: &str) -> Result<Vec<Self>> {
        // An error is to be a sentence for a person, without a picture of the place.
        let options = serde_saphyr::options! { with_snippet: false };
        let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
            .map_err(|error| {
                anyhow!("no YAML: {}", error.render_with_formatter(&UserMessageFormatter))
            })?;
        let mut objects = Vec::new();
        for (number, document) in documents.into_iter().enumerate() {
            let parsed = Self::collect(document, &mut objects);
            parsed.with_context(|| format!("document {}", number + 1))?;
        }
        ensure!(!objects.is_empty(), "there are no objects");
        Ok(objects)
    }

    fn collect(document: Value, objects: &mut Vec<Self>) -> Result<()> {
        if document["kind"] != "List" {
            objects.push(Self::new(document)?);
            return Ok(());
        }
        let Some(items) = document["items"].as_array() else { bail!("List: items is no list") };
        for (number, item) in items.iter().enumerate() {
            let parsed = Self::collect(item.clone(), objects);
            parsed.with_context(|| format!("item {}", number + 1))?;
        }
        Ok(())
    }

    fn new(value: Value) -> Result<Self> {
        let name = text(&value, "kind")?.context("kind is missing")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.with_context(|| format!("kind {name:?} is none that the lab knows"))?;
        let name = value["metadata"]["name"].as_str().map(|name| format!(" {name:?}"));
        let who = format!("{}{}", kind.name(), name.unwrap_or_default());
        Self::of_kind(kind, value).context(who)
    }

    fn of_kind(kind: Kind, mut value: Value) -> Result<Self> {
        let version = text(&value, "apiVersion")?.unwrap_or_default();
        let right = kind.api_version();
        ensure!(version == right, "apiVersion is {version:?}, it must be {right:?}");
        let name = text(&value, "metadata.name")?.context("metadata.name is missing")?.to_string();
        check_name(&name).context("metadata.name")?;
        let namespace = text(&value, "metadata.namespace")?.unwrap_or("default").to_string();
        check_name(&namespace).context("metadata.namespace")?;
        let labels = labels_of(&value)?;

        let metadata = metadata(&mut value)?;
        for key in ["uid", "creationTimestamp", "resourceVersion", "generation", "managedFields"] {
            metadata.shift_remove(key);
        }
        let namespace = if kind == Kind::Namespace {
            metadata.shift_remove("namespace");
            set_labels(metadata, &name, labels);
            value["status"] = json!({ "phase": "Active" });
            String::new()
        } else {
            metadata.insert("namespace".into(), json!(namespace));
            namespace
        };
        Ok(Self { kind, namespace, name, value })
    }

    /// Its labels.
    pub fn labels(&self) -> Result<BTreeMap<String, String>> {
        labels_of(&self.value)
    }

    /// A pod's `containers`, or `initContainers`.
    pub fn containers(&self, field: &str) -> Result<Vec<Value>> {
        match &self.value["spec"][field] {
            Value::Null => Ok(Vec::new()),
            Value::Array(containers) => Ok(containers.clone()),
            _ => bail!("{} {:?}: spec.{field} is no list", self.kind.name(), self.name),
        }
    }
}

/// An error if this can be no object's name: it could be no file's name either.
pub fn check_name(name: &str) -> Result<()> {
    let rule = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(rule) || name.starts_with(['-', '.']) {
        bail!("{name:?} is no name of Kubernetes: lower case letters, digits, '-' and '.'");
    }
    Ok(())
}

/// Gives a namespace its labels, always with the one that the API server gives.
pub(crate) fn set_labels(
    metadata: &mut Map<String, Value>,
    name: &str,
    mut labels: BTreeMap<String, String>,
) {
    labels.insert(NAME_LABEL.into(), name.into());
    metadata.insert("labels".into(), json!(labels));
}

pub(crate) fn metadata(value: &mut Value) -> Result<&mut Map<String, Value>> {
    value.get_mut("metadata").and_then(Value::as_object_mut).context("metadata is missing")
}

/// An object's labels. In YAML `yes`, `1.10` and a long commit id are no strings.
pub(crate) fn labels_of(value: &Value) -> Result<BTreeMap<String, String>> {
    let labels = match &value["metadata"]["labels"] {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Object(labels) => labels,
        _ => bail!("metadata.labels is no map"),
    };
    let label = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        _ => bail!("metadata.labels: {key} is no string: put its value in quotes"),
    };
    labels.iter().map(label).collect()
}

/// A field that must be a string if it is there: `metadata.name`.
fn text<'a>(value: &'a Value, path: &str) -> Result<Option<&'a str>> {
    match path.split('.').try_fold(value, |value, key| value.get(key)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => bail!("{path} is no string"),
    }
}

/// The file of an object.
pub(crate) fn file_name(kind: Kind, namespace: &str, name: &str) -> String {
    match kind {
        Kind::Namespace => format!("namespace_{name}.yaml"),
        _ => format!("{}_{namespace}_{name}.yaml", lower(kind)),
    }
}

/// As in the names of files.
pub(crate) fn lower(kind: Kind) -> String {
    kind.name().to_lowercase()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(crate) fn new_uid() -> String {
    format!("{:08x}-0000-4000-8000-{:012x}", fastrand::u32(..), fastrand::u64(..1 << 48))
}

/// Seconds since 1970 as Kubernetes writes them: `2025-11-25T14:28:00Z`.
pub(crate) fn timestamp(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
