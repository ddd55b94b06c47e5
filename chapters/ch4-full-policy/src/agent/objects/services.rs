//! Which Service has an address, and what is behind it? Nobody here follows Services, since
//! kube-proxy translates: they are looked for when somebody asks.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::manifest::{documents, is_manifest, parse_as, read};

/// The label of a slice that says whose it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The API server's part of the two seconds that the command line waits.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Where a port of a Service's address leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translation {
    /// The Service as `namespace/name`.
    pub service: String,
    /// `80/TCP`.
    pub port: String,
    /// What is ready behind it: `10.13.0.5:8080/TCP`.
    pub backends: BTreeSet<String>,
}

/// Of all Services that have the address (some from outside are shared), all ports. From the
/// manifests, or else from the API server.
pub async fn translations(address: Ipv4Addr, manifests: Option<&Path>) -> Result<Vec<Translation>> {
    let find = async {
        let mut found = Vec::new();
        for service in list::<Service>(manifests, "").await? {
            if has(&service, &address.to_string()) {
                let its = format!("{SERVICE_NAME}={}", service.name_any());
                found.extend(translate(&service, &list(manifests, &its).await?));
            }
        }
        Ok(found)
    };
    timeout(PATIENCE, find).await.context("the API server does not answer")?
}

/// All objects of a kind; only the API server heeds the label.
async fn list<K>(manifests: Option<&Path>, label: &str) -> Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let Some(directory) = manifests else {
        let all = Api::all(Client::try_default().await?);
        return Ok(all.list(&ListParams::default().labels(label)).await?.items);
    };
    let (kind, version) = (K::kind(&()), K::api_version(&()));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Of what cannot be read, `status` tells.
        let (true, (_, Ok(Some(text)))) = (is_manifest(&path), read(&path)) else { continue };
        if !text.contains(&*kind) {
            continue; // ten thousand pods need not be parsed
        }
        for document in documents(&text).unwrap_or_default() {
            if document["kind"] == *kind && document["apiVersion"] == *version {
                let object = parse_as(document);
                found.push(object.with_context(|| path.display().to_string())?);
            }
        }
    }
    Ok(found)
}

/// Does kube-proxy translate this address for it?
fn has(service: &Service, address: &str) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    // A load balancer that is a proxy gets the packets itself.
    let ingress = ingress.filter(|it| it.ip_mode.as_deref() != Some("Proxy"));
    let own = service.spec.iter().flat_map(|spec| {
        let lists = [&spec.cluster_ips, &spec.external_ips];
        spec.cluster_ip.iter().chain(lists.into_iter().flatten().flatten())
    });
    own.chain(ingress.filter_map(|it| it.ip.as_ref())).any(|its| its == address)
}

/// A Service's ports, and what is behind each by those slices that are its own.
fn translate(service: &Service, slices: &[EndpointSlice]) -> Vec<Translation> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let its = slices.iter().filter(|slice| {
        slice.namespace() == service.namespace()
            && slice.labels().get(SERVICE_NAME) == Some(&name)
            && slice.address_type == "IPv4"
    });
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let translation = |port: &ServicePort| Translation {
        service: format!("{namespace}/{name}"),
        port: format!("{}/{}", port.port, key(&port.name, &port.protocol).1),
        backends: its.clone().flat_map(|slice| backends(slice, port)).collect(),
    };
    ports.map(translation).collect()
}

/// What of a slice is ready, by the port of the same name. As kube-proxy reads it: unknown is ready,
/// and of an endpoint's addresses the first counts.
fn backends(slice: &EndpointSlice, asked: &ServicePort) -> impl Iterator<Item = String> {
    let asked = key(&asked.name, &asked.protocol);
    let port = slice.ports.iter().flatten().find(|port| key(&port.name, &port.protocol) == asked);
    let port = port.and_then(|port| port.port);
    let ready = slice.endpoints.iter().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    });
    ready.filter_map(move |it| Some(format!("{}:{}/{}", it.addresses.first()?, port?, asked.1)))
}

/// By which ports of a Service and of a slice are the same.
fn key<'a>(name: &'a Option<String>, protocol: &'a Option<String>) -> (&'a str, &'a str) {
    (name.as_deref().unwrap_or_default(), protocol.as_deref().unwrap_or("TCP"))
}

#[cfg(test)]
mod tests;
