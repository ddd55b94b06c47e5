//! Objects from the API server: three watches, each into a reflector.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::engine::Event;
use super::objects::{Key, Kind, trim};
use super::stores::{Read, Stores, Which, Whole};

/// Starts watching. The stores fill by themselves, and go on by themselves after the API server
/// was away.
pub async fn watch(events: mpsc::Sender<Event>) -> Result<Stores> {
    let client = Client::try_default().await.context(
        "cannot find the API server: neither a pod's service account nor a kubeconfig; in a lab \
         say --manifests",
    )?;
    Ok(Stores {
        pods: reflect(Kind::Pod, &client, &events),
        namespaces: reflect(Kind::Namespace, &client, &events),
        policies: reflect(Kind::NetworkPolicy, &client, &events),
        problems: watch::channel(BTreeSet::new()).1,
        read: watch::channel(Read::default()).1,
        whole: Whole::default(),
    })
}

fn reflect<K>(kind: Kind, client: &Client, events: &mpsc::Sender<Event>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let (store, writer) = reflector::store();
    let objects = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| trim(object.meta_mut()))
        .reflect(writer);
    let events = events.clone();
    tokio::spawn(async move {
        let mut objects = std::pin::pin!(objects);
        while let Some(event) = objects.next().await {
            let which = match event {
                // While a list comes in, its parts are not looked at: they are no whole.
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
                Ok(watcher::Event::InitDone) => Which::All,
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
                    Which::These([Key::new(kind, object.meta())].into())
                }
                Err(error) => {
                    tracing::warn!("watching {}: {error}", K::plural(&()));
                    continue;
                }
            };
            let _ = events.send(Event::Changed(Instant::now(), which, 0));
        }
    });
    store
}
