//! Objects: apply, create, delete, label.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Kind, Object, say};

use super::{Namespace, running, settle};

/// `lab create …`
#[derive(Debug, clap::Subcommand)]
pub enum CreateCommand {
    /// Make a namespace
    #[command(visible_alias = "ns")]
    Namespace {
        /// Its name
        name: String,
        /// Labels: KEY=VALUE,KEY=VALUE
        #[arg(short, long, value_delimiter = ',', value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
}

/// Objects in files, or of a kind and by name.
#[derive(Debug, clap::Args)]
pub struct Selection {
    /// Files, directories of files, or - for stdin
    #[arg(short = 'f', long = "filename", value_name = "FILE", num_args = 1.., conflicts_with = "kind")]
    pub files: Vec<PathBuf>,
    /// networkpolicy, namespace or pod
    #[arg(required_unless_present = "files", requires = "names")]
    kind: Option<Kind>,
    /// Their names
    names: Vec<String>,
    #[command(flatten)]
    namespace: Namespace,
}

/// The objects in files; of a directory in all that are YAML or JSON.
pub fn read(files: &[PathBuf]) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for file in files {
        let read = |path: &Path| {
            let parsed = read_file(path).and_then(|text| Object::parse(&text));
            parsed.with_context(|| path.display().to_string())
        };
        if !file.is_dir() {
            objects.extend(read(file)?);
            continue;
        }
        let entries = fs::read_dir(file)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        let extension = |path: &Path| path.extension().unwrap_or_default().to_os_string();
        paths.retain(|path| ["yaml", "yml", "json"].iter().any(|it| extension(path) == *it));
        paths.sort();
        ensure!(!paths.is_empty(), "{}: there is no YAML or JSON", file.display());
        for path in paths {
            objects.extend(read(&path)?);
        }
    }
    Ok(objects)
}

fn read_file(path: &Path) -> Result<String> {
    if path != Path::new("-") {
        return Ok(fs::read_to_string(path)?);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// `lab apply`
pub fn apply(name: &str, objects: &[Object]) -> Result<()> {
    let (_, node) = running(name)?;
    node.apply_objects(objects)?.iter().for_each(say);
    settle(&node)
}

/// `lab create`
pub fn create(name: &str, command: CreateCommand) -> Result<()> {
    let (_, node) = running(name)?;
    let CreateCommand::Namespace { name, labels } = command;
    if node.object(Kind::Namespace, "", &name)?.is_some() {
        bail!("namespaces {name:?} already exists");
    }
    node.apply_objects(&[Object::namespace(&name, &labels_from(&labels)?)?])?;
    say(format_args!("namespace/{name} created"));
    settle(&node)
}

/// `lab delete`
pub fn delete(name: &str, objects: &[Object], selection: &Selection) -> Result<()> {
    let (_, node) = running(name)?;
    if let Some(kind) = selection.kind {
        for name in &selection.names {
            node.delete_object(kind, &selection.namespace.namespace, name)?;
            say(format_args!("{} {name:?} deleted", kind.resource()));
        }
    } else {
        node.delete_objects(objects)?.iter().for_each(say);
    }
    settle(&node)
}

/// `lab label`
pub fn label(
    node: &str,
    kind: Kind,
    namespace: &str,
    name: &str,
    changes: &[String],
) -> Result<()> {
    let (_, node) = running(node)?;
    let change = |text: &'_ String| match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => Ok((key.to_string(), Some(value.to_string()))),
        (None, Some(key)) => Ok((key.to_string(), None)),
        (None, None) => bail!("{text:?} must be KEY=VALUE to set a label, KEY- to remove it"),
    };
    let changes = changes.iter().map(change).collect::<Result<Vec<_>>>()?;
    let changes: Vec<_> = changes.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
    node.label(kind, namespace, name, &changes)?;
    let only_removed = changes.iter().all(|(_, value)| value.is_none());
    let what = if only_removed { "unlabeled" } else { "labeled" };
    say(format_args!("{}/{name} {what}", kind.resource()));
    settle(&node)
}

/// `KEY=VALUE` for each label.
pub fn labels_from(labels: &[String]) -> Result<BTreeMap<String, String>> {
    let label = |label: &String| match label.split_once('=') {
        Some((key, value)) => Ok((key.into(), value.into())),
        None => bail!("label {label:?} must be KEY=VALUE"),
    };
    labels.iter().map(label).collect()
}
