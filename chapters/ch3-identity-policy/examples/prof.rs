#![allow(missing_docs, clippy::unwrap_used)]
use ch3_identity_policy::agent::{
    directory::Directory,
    identity::Identities,
    local::Local,
    manifest::{self, Writers},
    stores::{Stores, Which},
    view::View,
    wanted::Wanted,
};
use kube::runtime::reflector;
use std::time::{Duration, Instant};
fn main() {
    let mut t = Instant::now();
    let mut lap = |what: &str| {
        println!("{what}: {:?}", t.elapsed());
        t = Instant::now();
    };
    let mut paths: Vec<_> =
        std::fs::read_dir("/tmp/w4-new/m").unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let texts: Vec<_> = paths.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    lap("read");
    let mut objects = Vec::new();
    for t in &texts {
        objects.extend(manifest::parse(t).unwrap());
    }
    lap("parse yaml");
    let v: Vec<serde_json::Value> =
        texts.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
    lap("parse json only");
    drop(v);
    lap("drop");
    let (pods_store, pods) = reflector::store();
    let (namespaces_store, namespaces) = reflector::store();
    let (policies_store, policies) = reflector::store();
    let mut writers = Writers { pods, namespaces, policies };
    writers.begin();
    for o in objects {
        writers.write(o, manifest::Wrap::InitApply);
    }
    writers.end();
    lap("list");
    let stores = Stores {
        pods: pods_store,
        namespaces: namespaces_store,
        policies: policies_store,
        problems: tokio::sync::watch::channel(Default::default()).1,
    };
    let mut directory = Directory::default();
    stores.look_at(&Which::All, &mut directory);
    lap("look at all");
    let l: usize =
        directory.pods.iter().map(|(_, p)| directory.labels_of(p).unwrap().labels.len()).sum();
    lap("labels_of");
    println!("{l}");
    let d = std::path::Path::new("/tmp/w4-new/state");
    let _ = std::fs::remove_dir_all(d);
    let mut local = Local::load(d.join("e")).unwrap();
    let mut ids = Identities::load(d.join("i"), Duration::from_secs(1)).unwrap();
    let mut wanted = Wanted::new("node1".into());
    lap("load");
    let changes = wanted.update(&mut directory, &mut local, &mut ids);
    lap("update");
    let mut view = View::default();
    view.learn(&changes, &wanted, &local, &ids);
    lap("learn");
    println!("{} {}", wanted.endpoints.len(), wanted.policy.len());
    stores.look_at(&Which::All, &mut directory);
    lap("look at all again");
    let c = view.clone();
    lap("clone view");
    drop(c);
    println!(
        "sizes: Pod {} Claimant {}",
        std::mem::size_of::<ch3_identity_policy::agent::objects::Pod>(),
        std::mem::size_of::<ch3_identity_policy::agent::claimant::Claimant>()
    );
}
