//! Choosing the network configuration, and what each plugin of it gets on stdin.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// A network: its plugins in the order of ADD.
#[derive(Debug, Clone)]
pub struct Network {
    /// `cniVersion` of all.
    pub version: String,
    /// `name` of all.
    name: String,
    plugins: Vec<Map<String, Value>>,
}

impl Network {
    /// The first configuration of the directory by name, as runtimes choose it; `None` if the
    /// directory has none. A broken one is an error: it is not passed over in silence.
    pub fn choose(directory: &Path) -> Result<Option<Self>> {
        let mut files = Vec::new();
        for entry in
            fs::read_dir(directory).context("cannot read the directory of configurations")?
        {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("conf" | "conflist" | "json")) {
                files.push(path);
            }
        }
        files.sort();
        let Some(first) = files.first() else { return Ok(None) };
        let read = fs::read(first).context("cannot read it").and_then(|text| Self::parse(&text));
        let name = first.file_name().unwrap_or_default().to_string_lossy();
        read.map(Some).with_context(|| format!("invalid network configuration {name}"))
    }

    /// A single plugin's configuration is a list of one.
    fn parse(text: &[u8]) -> Result<Self> {
        let conf: Map<String, Value> = serde_json::from_slice(text)?;
        let text = |key: &str| match conf.get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => bail!("{key:?} is {other}, which is no string: put it in quotes"),
            None => bail!("{key:?} is missing"),
        };
        let (version, name) = (text("cniVersion")?, text("name")?);
        let plugins = match conf.get("plugins") {
            None => vec![conf],
            Some(plugins) => serde_json::from_value(plugins.clone()).context("\"plugins\"")?,
        };
        ensure!(!plugins.is_empty(), "\"plugins\" is empty");
        for plugin in &plugins {
            match plugin.get("type") {
                Some(Value::String(kind)) if !kind.contains('/') => {}
                _ => bail!("\"type\" must be a plugin's name without \"/\""),
            }
        }
        Ok(Self { version, name, plugins })
    }

    /// For each plugin its name and what it reads: the network's name and version, its own keys,
    /// and `extra` (`prevResult`, `cni.dev/valid-attachments`).
    pub fn inputs(&self, extra: &[(&str, Value)]) -> Vec<(String, Value)> {
        let input = |plugin: &Map<String, Value>| {
            let mut input = plugin.clone();
            input.insert("cniVersion".into(), json!(self.version));
            input.insert("name".into(), json!(self.name));
            for (key, value) in extra {
                input.insert((*key).into(), value.clone());
            }
            (plugin["type"].as_str().unwrap_or_default().to_string(), Value::Object(input))
        };
        self.plugins.iter().map(input).collect()
    }

    /// Does this version of the spec have STATUS and GC?
    pub fn has_status_and_gc(&self) -> bool {
        self.version.as_str() >= "1.1.0"
    }
}
