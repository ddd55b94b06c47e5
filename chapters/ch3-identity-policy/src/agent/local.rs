//! The endpoints of this node: what PUT said, kept in files beside the leases. The API server
//! learns a pod's address only later, and a restarted agent must know it at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use nix::net::if_::if_nametoindex;
use serde::{Deserialize, Serialize};

use super::identity::{read, write};
use crate::api::{NewEndpoint, SecurityLabels};

/// An endpoint of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalEndpoint {
    /// A small number for people.
    pub id: u32,
    /// The veth's host end.
    pub link: String,
    /// What PUT said.
    pub new: NewEndpoint,
    /// The labels as the API last had them; `None` until it knows the pod. They stay when the
    /// API forgets a pod that still runs.
    pub labels: Option<SecurityLabels>,
}

impl LocalEndpoint {
    /// The pod as `namespace/name`, or the link if it is none.
    pub fn name(&self) -> String {
        let pod = self.new.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
        pod.unwrap_or_else(|| self.link.clone())
    }
}

/// All endpoints of this node, by link.
#[derive(Debug)]
pub struct Local {
    directory: PathBuf,
    endpoints: BTreeMap<String, LocalEndpoint>,
}

impl Local {
    /// Reads what an agent before us has left. A damaged file is told of and passed over: its pod
    /// is nobody then, and what it sends is dropped until it is made anew.
    pub fn load(directory: PathBuf) -> Result<Self> {
        let unreadable = || format!("cannot use {}", directory.display());
        fs::create_dir_all(&directory).with_context(unreadable)?;
        let mut endpoints = BTreeMap::new();
        for file in fs::read_dir(&directory).with_context(unreadable)? {
            let path = file.with_context(unreadable)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read::<LocalEndpoint>(&path) {
                Ok(Some(endpoint)) => drop(endpoints.insert(endpoint.link.clone(), endpoint)),
                Ok(None) => {}
                Err(error) => tracing::error!("{error:#}"),
            }
        }
        Ok(Self { directory, endpoints })
    }

    /// All, by link.
    pub fn iter(&self) -> impl Iterator<Item = &LocalEndpoint> {
        self.endpoints.values()
    }

    /// One by its link.
    pub fn get(&self, link: &str) -> Option<&LocalEndpoint> {
        self.endpoints.get(link)
    }

    // #region insert
    /// Takes in what PUT says. Whoever had the address before must be gone: its link is the
    /// proof, for a DEL may come late or never.
    pub fn insert(&mut self, link: &str, new: NewEndpoint) -> Result<()> {
        let before = self.iter().find(|it| it.new.address == new.address && it.link != link);
        if let Some(before) = before.map(|it| it.link.clone()) {
            if self.is_there(&before) {
                bail!("{} belongs to {before}, which is still there", new.address);
            }
            self.remove(&before)?;
        }
        let taken = |id: &u32| self.iter().any(|it| it.id == *id);
        let id = (1..).find(|id| !taken(id)).unwrap_or_default();
        let endpoint = LocalEndpoint { id, link: link.into(), new, labels: None };
        self.endpoints.insert(link.into(), endpoint);
        Ok(())
    }
    // #endregion insert

    /// Sets the labels, if they are others, and writes the endpoint down.
    pub fn set_labels(&mut self, link: &str, labels: &SecurityLabels) -> Result<()> {
        let Some(endpoint) = self.endpoints.get_mut(link) else { return Ok(()) };
        if endpoint.labels.as_ref() != Some(labels) {
            endpoint.labels = Some(labels.clone());
            write(&self.directory.join(format!("{link}.json")), endpoint)?;
        }
        Ok(())
    }

    /// Forgets an endpoint; that there is none is no error.
    pub fn remove(&mut self, link: &str) -> Result<()> {
        self.endpoints.remove(link);
        match fs::remove_file(self.directory.join(format!("{link}.json"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot forget endpoint {link}"))
            }
            _ => Ok(()),
        }
    }

    /// Forgets those whose link is gone: their DEL came while no agent was there to hear it.
    pub fn remove_gone(&mut self) -> Result<()> {
        let gone: Vec<_> =
            self.endpoints.keys().filter(|link| !self.is_there(link)).cloned().collect();
        gone.iter().try_for_each(|link| self.remove(link))
    }

    /// The same link, not one that has been made anew under the same name.
    fn is_there(&self, link: &str) -> bool {
        let index = self.endpoints.get(link).map(|endpoint| endpoint.new.ifindex);
        if_nametoindex(link).ok() == index && index.is_some()
    }
}
