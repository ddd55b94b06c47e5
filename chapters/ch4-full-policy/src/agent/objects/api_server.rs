//! Objects from the API server: three watches, each into a reflector.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::changed::{Changed, Notify, Which};
use super::key::{Key, Kind};
use super::kinds::trim;
use super::stores::{Snapshot, Stores, WriteLock};

/// Starts watching. The stores fill by themselves, and go on by themselves after the API server
/// was away.
pub async fn watch(notify: Notify) -> Result<Stores> {
    let client = Client::try_default().await.context(
        "cannot find the API server: neither a pod's service account nor a kubeconfig; in a lab \
         say --manifests",
    )?;
    Ok(Stores {
        pods: reflect(Kind::Pod, &client, &notify),
        namespaces: reflect(Kind::Namespace, &client, &notify),
        policies: reflect(Kind::NetworkPolicy, &client, &notify),
        problems: watch::channel(BTreeSet::new()).1,
        snapshot: watch::channel(Snapshot::default()).1,
        write_lock: WriteLock::default(),
    })
}

fn reflect<K>(kind: Kind, client: &Client, notify: &Notify) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let (store, writer) = reflector::store();
    let objects = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|object| trim(object.meta_mut()))
        .reflect(writer);
    let notify = notify.clone();
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
            notify(Changed { since: Instant::now(), which, revision: 0 });
        }
    });
    store
}
