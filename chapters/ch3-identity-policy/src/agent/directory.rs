//! Whose labels are which: pods and namespaces by name.

use std::collections::HashMap;

use super::local::LocalEndpoint;
use super::objects::Pod;
use super::wanted::Objects;
use crate::api::{Labels, SecurityLabels};

/// Pods and namespaces by name.
#[derive(Debug)]
pub struct Directory<'a> {
    pods: HashMap<(&'a str, &'a str), &'a Pod>,
    namespaces: HashMap<&'a str, Labels>,
}

impl<'a> Directory<'a> {
    /// Of all objects.
    pub fn new(objects: &'a Objects) -> Self {
        let pods = objects.pods.iter().map(|pod| (full_name(pod), &**pod)).collect();
        let namespaces = objects.namespaces.iter().map(|namespace| {
            let name = namespace.metadata.name.as_deref().unwrap_or_default();
            let mut labels = namespace.metadata.labels.clone().unwrap_or_default();
            // The API server sees to it; a manifest may not.
            labels.insert("kubernetes.io/metadata.name".into(), name.into());
            (name, labels)
        });
        Self { pods, namespaces: namespaces.collect() }
    }

    /// A pod's labels with its namespace's; `None` while that is not known.
    pub fn of_pod(&self, pod: &Pod) -> Option<SecurityLabels> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let namespace_labels = self.namespaces.get(namespace.as_str())?.clone();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        Some(SecurityLabels { namespace, namespace_labels, labels })
    }

    /// An endpoint's labels; `None` while its pod is not known. Who is no pod has none.
    pub fn of(&self, endpoint: &LocalEndpoint) -> Option<SecurityLabels> {
        let Some(wanted) = &endpoint.new.pod else { return Some(SecurityLabels::default()) };
        let pod = self.pods.get(&(wanted.namespace.as_str(), wanted.name.as_str()))?;
        let is_it = wanted.uid.as_deref().is_none_or(|uid| pod.has_uid(uid));
        if is_it { self.of_pod(pod) } else { None }
    }
}

fn full_name(pod: &Pod) -> (&str, &str) {
    let metadata = &pod.metadata;
    (
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}
