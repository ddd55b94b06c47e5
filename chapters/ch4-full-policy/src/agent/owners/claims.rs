//! Who claims which addresses, and by which identity. Each pod and each endpoint is looked at when
//! something of it is another, and at no other time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::claimant::Claimant;
use super::identity::{Asked, Identities, relevant};
use super::local::{LocalEndpoint, LocalEndpoints};
use super::owner::Owners;
use crate::agent::objects::directory::Directory;
use crate::agent::objects::key::Name;
use crate::agent::objects::kinds::Pod;
use crate::api::{Labels, NamedPort, SecurityLabels};

/// Identities of pods by namespace, labels and named ports that count: of many that come at once,
/// most are alike.
type Alike<'a> =
    HashMap<(Option<&'a str>, Option<&'a Labels>, Vec<NamedPort>), Option<Option<u32>>>;

/// All claims.
#[derive(Debug, Default)]
pub struct Claims {
    /// Who has which address.
    pub owners: Owners,
    node: String,
    /// What counts only since a policy asks about it.
    asked: Asked,
    /// Whom something keeps from being as it should be, and what: it is tried again each time.
    failed: BTreeMap<Name, String>,
    /// Why the identities cannot be written down.
    unsaved: Option<String>,
    /// Endpoints of this node that may be others since somebody asked last.
    links: BTreeSet<Name>,
}

impl Claims {
    /// None yet, on this node.
    pub fn new(node: String) -> Self {
        Self { node, ..Self::default() }
    }

    /// Works in what is another. Identities are drawn, and what must outlive the agent is written
    /// down before anybody has it.
    pub fn update(
        &mut self,
        directory: &mut Directory,
        local: &mut LocalEndpoints,
        identities: &mut Identities,
        asked: Asked,
    ) {
        let touched = self.touched(directory, local, asked);
        let mut alike = Alike::new();
        let mut found = Vec::new();
        for key in touched {
            let claim = self.look_at(&key, directory, local, identities, &mut alike);
            found.push((claim, key));
        }
        self.unsaved = identities.save_new().err().map(|error| format!("{error:#}"));
        for (claim, key) in found {
            let claim = claim.map(|(claimant, id)| {
                let saved = id.filter(|id| identities.is_saved(*id));
                if saved != id
                    && let Some(why) = self.unsaved.clone()
                {
                    self.keep_out(&key, &claimant.pod, &why);
                }
                claimant.with_identity(saved)
            });
            self.owners.set(&key, claim);
            self.links.extend(local.get(&key).map(|_| key));
        }
    }

    /// Whose labels, addresses or identity may be others.
    fn touched(
        &mut self,
        directory: &mut Directory,
        local: &mut LocalEndpoints,
        asked: Asked,
    ) -> BTreeSet<Name> {
        let mut touched: BTreeSet<_> = self.failed.keys().cloned().collect();
        self.links = local.take_changed(); // also those that are gone
        touched.extend(self.links.iter().cloned());
        touched.append(&mut directory.pods.take_changed());
        for namespace in directory.namespaces.take_changed() {
            touched.extend(directory.pods.of_namespace(&namespace).map(|(pod, _)| pod.clone()));
        }
        if self.asked != asked {
            let keys: Vec<_> = self.asked.labels.symmetric_difference(&asked.labels).collect();
            let names: Vec<_> = self.asked.ports.symmetric_difference(&asked.ports).collect();
            let has_one = |pod: &Pod| {
                let labels = pod.metadata.labels.as_ref();
                labels.is_some_and(|labels| keys.iter().any(|key| labels.contains_key(*key)))
                    || pod.named_ports().any(|port| names.contains(&&port.name))
            };
            let pods = directory.pods.iter().filter(|(_, pod)| has_one(pod));
            touched.extend(pods.map(|(name, _)| name.clone()));
            touched.extend(local.iter().map(|(link, _)| link.clone()));
        }
        self.asked = asked;
        let links: Vec<_> = touched.iter().flat_map(|pod| local.of_pod(pod)).cloned().collect();
        touched.extend(links);
        touched
    }

    /// What a pod or an endpoint claims now, and its identity's number.
    fn look_at<'a>(
        &mut self,
        key: &Name,
        directory: &'a Directory,
        local: &mut LocalEndpoints,
        identities: &mut Identities,
        alike: &mut Alike<'a>,
    ) -> Option<(Claimant, Option<u32>)> {
        self.failed.remove(key);
        let (claimant, id) = match local.get(key).map(Claimant::of_endpoint) {
            Some(claimant) => {
                let labels = self.labels_of_endpoint(key, directory, local);
                (claimant, labels.map(|labels| draw(labels, &self.asked, identities)))
            }
            None => {
                let pod = directory.pods.get(key)?;
                let claimant = Claimant::of_pod(key, pod, &self.node)?;
                let (namespace, labels) = (pod.metadata.namespace.as_deref(), &pod.metadata.labels);
                let ports = pod.named_ports().filter(|port| self.asked.ports.contains(&port.name));
                let its = (namespace, labels.as_ref(), ports.collect());
                let id = alike.entry(its).or_insert_with(|| {
                    directory.labels_of(pod).map(|labels| draw(labels, &self.asked, identities))
                });
                (claimant, *id)
            }
        };
        if id == Some(None) {
            self.keep_out(key, &claimant.pod, "all identities are taken, by different labels");
        }
        Some((claimant, id.flatten()))
    }

    /// An endpoint's labels in the API, or else the last ones that it had there.
    fn labels_of_endpoint(
        &mut self,
        link: &Name,
        directory: &Directory,
        local: &mut LocalEndpoints,
    ) -> Option<SecurityLabels> {
        let endpoint = local.get(link)?;
        let name = endpoint.name();
        let labels = labels_in_api(endpoint, directory).or_else(|| endpoint.labels.clone())?;
        match local.set_labels(link, labels.clone()) {
            Ok(()) => Some(labels),
            // An agent after us would not know it, and cut it off.
            Err(error) if !local.is_in_file(link) => {
                self.keep_out(link, &name, &format!("{error:#}"));
                None
            }
            Err(error) => {
                self.failed.insert(link.clone(), format!("{error:#}"));
                Some(labels)
            }
        }
    }

    fn keep_out(&mut self, key: &Name, pod: &str, why: &str) {
        self.failed.insert(key.clone(), format!("{pod} has no network: {why}"));
    }

    /// The endpoints of this node that may be others since somebody asked last.
    pub fn take_links(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.links)
    }

    /// What keeps somebody from being as it should be.
    pub fn failure(&self, key: &str) -> Option<&String> {
        self.failed.get(key)
    }

    /// Is there something that must be tried again?
    pub fn has_failed(&self) -> bool {
        self.failures().next().is_some()
    }

    /// All that does.
    pub fn failures(&self) -> impl Iterator<Item = &String> {
        self.failed.values().chain(&self.unsaved)
    }
}

/// The number of the labels that count.
fn draw(labels: SecurityLabels, asked: &Asked, identities: &mut Identities) -> Option<u32> {
    identities.get(&relevant(labels, asked))
}

/// An endpoint's labels; `None` while its pod is not known. What is no pod has none.
fn labels_in_api(endpoint: &LocalEndpoint, directory: &Directory) -> Option<SecurityLabels> {
    let Some(wanted) = &endpoint.new.pod else { return Some(SecurityLabels::default()) };
    let pod = directory.pods.get(&endpoint.name())?;
    let is_it = wanted.uid.as_deref().is_none_or(|uid| pod.has_uid(uid));
    if is_it { directory.labels_of(pod) } else { None }
}
