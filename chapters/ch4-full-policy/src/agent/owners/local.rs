//! The endpoints of this node: what PUT said, kept in files beside the leases. The API server
//! learns a pod's address only later, and a restarted agent must know it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::net::if_::if_nametoindex;
use serde::{Deserialize, Serialize};

use crate::agent::files::{make_directory, read, write};
use crate::agent::objects::key::Name;
use crate::api::{NewEndpoint, SecurityLabels, is_host_link};

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
pub struct LocalEndpoints {
    directory: PathBuf,
    endpoints: BTreeMap<Name, LocalEndpoint>,
    /// Links by [`LocalEndpoint::name`].
    by_pod: BTreeSet<(Name, Name)>,
    /// What the files say: links and their labels.
    files: BTreeMap<Name, SecurityLabels>,
    changed: BTreeSet<Name>,
}

impl LocalEndpoints {
    /// Reads what an agent before us has left. A damaged file is reported and passed over: its pod
    /// is nobody then, and what it sends is dropped until it is made anew.
    pub fn load(directory: PathBuf) -> Result<Self> {
        make_directory(&directory)?;
        let unreadable = || format!("cannot use {}", directory.display());
        let mut files = Vec::new();
        for file in fs::read_dir(&directory).with_context(unreadable)? {
            files.push(file.with_context(unreadable)?.path());
        }
        let mut local = Self {
            directory,
            endpoints: BTreeMap::new(),
            by_pod: BTreeSet::new(),
            files: BTreeMap::new(),
            changed: BTreeSet::new(),
        };
        for path in files.iter().filter(|file| file.extension().is_some_and(|it| it == "json")) {
            match load(path) {
                Ok(endpoint) => {
                    let labels = endpoint.labels.clone().unwrap_or_default();
                    local.files.insert(endpoint.link.as_str().into(), labels);
                    local.take_in(endpoint);
                }
                Err(error) => tracing::error!("{error:#}"),
            }
        }
        Ok(local)
    }

    /// All, by link.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &LocalEndpoint)> {
        self.endpoints.iter()
    }

    /// One by its link.
    pub fn get(&self, link: &str) -> Option<&LocalEndpoint> {
        self.endpoints.get(link)
    }

    /// The links of a pod: a runtime may attach it more than once.
    pub fn of_pod(&self, pod: &Name) -> impl Iterator<Item = &Name> {
        let first = (pod.clone(), Name::default());
        self.by_pod.range(first..).take_while(move |(owner, _)| owner == pod).map(|(_, link)| link)
    }

    /// Is there a file that brings it back when the agent starts anew?
    pub fn is_in_file(&self, link: &str) -> bool {
        self.files.contains_key(link)
    }

    /// The links that came, or went, since somebody asked last.
    pub fn take_changed(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.changed)
    }

    /// Takes in what PUT says. The one that had the address before must be gone: its link is the
    /// proof, for a DEL may come late or never.
    pub fn insert(&mut self, link: &str, new: NewEndpoint) -> Result<()> {
        ensure!(is_host_link(link), "{link:?} is no host end of ours");
        let mut others = self.endpoints.iter().filter(|(name, _)| ***name != *link);
        let before = others.find(|(_, other)| other.new.address == new.address);
        let before = before.map(|(link, _)| link.clone());
        if let Some(before) = before {
            if self.is_there(&before) {
                bail!("{} belongs to {before}, which is still there", new.address);
            }
            self.remove(&before)?;
        }
        let taken = |id: &u32| self.endpoints.values().any(|endpoint| endpoint.id == *id);
        let id = (1..).find(|id| !taken(id)).unwrap_or_default();
        self.take_out(link);
        self.take_in(LocalEndpoint { id, link: link.into(), new, labels: None });
        Ok(())
    }

    fn take_in(&mut self, endpoint: LocalEndpoint) {
        let link = Name::from(endpoint.link.as_str());
        self.by_pod.insert((endpoint.name().into(), link.clone()));
        self.changed.insert(link.clone());
        self.endpoints.insert(link, endpoint);
    }

    fn take_out(&mut self, link: &str) {
        if let Some((link, endpoint)) = self.endpoints.remove_entry(link) {
            self.by_pod.remove(&(endpoint.name().into(), link.clone()));
            self.files.remove(&link);
            self.changed.insert(link);
        }
    }

    /// Sets the labels, and writes the endpoint down if its file says others.
    pub fn set_labels(&mut self, link: &Name, labels: SecurityLabels) -> Result<()> {
        let path = self.path(link);
        let Some(endpoint) = self.endpoints.get_mut(link) else { return Ok(()) };
        endpoint.labels = Some(labels.clone());
        if self.files.get(link) != Some(&labels) {
            write(&path, endpoint)?;
            self.files.insert(link.clone(), labels);
        }
        Ok(())
    }

    /// Forgets an endpoint; that there is none is no error.
    pub fn remove(&mut self, link: &str) -> Result<()> {
        ensure!(is_host_link(link), "{link:?} is no host end of ours");
        self.take_out(link);
        match fs::remove_file(self.path(link)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot forget endpoint {link}"))
            }
            _ => Ok(()),
        }
    }

    /// Forgets those whose link is gone: their DEL came while no agent was there to hear it.
    pub fn remove_gone(&mut self) -> Result<()> {
        let gone: Vec<_> =
            self.endpoints.keys().filter(|link| !self.is_there(link)).cloned().collect();
        let removed: Vec<_> = gone.iter().map(|link| self.remove(link)).collect();
        removed.into_iter().collect()
    }

    /// The same link, not one that has been made anew under the same name. Somebody may have renamed
    /// it: its second name is the pod's address.
    fn is_there(&self, link: &str) -> bool {
        let Some(endpoint) = self.endpoints.get(link) else { return false };
        let address = endpoint.new.address.to_string();
        [link, &address].iter().any(|name| if_nametoindex(*name) == Ok(endpoint.new.ifindex))
    }

    fn path(&self, link: &str) -> PathBuf {
        self.directory.join(format!("{link}.json"))
    }
}

/// Reads one endpoint: its file has the name of its link.
fn load(path: &Path) -> Result<LocalEndpoint> {
    let endpoint = read::<LocalEndpoint>(path)?.context("it is gone")?;
    let is_its = path.file_stem().is_some_and(|name| name == endpoint.link.as_str());
    let damaged = || format!("{} is damaged: remove it", path.display());
    ensure!(is_its && is_host_link(&endpoint.link), damaged());
    Ok(endpoint)
}
