//! The agent's engine without an agent: objects in, wanted maps out. It lives through many
//! changes, and is told of each as a source would tell it: what is the same is the same object.

#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::chapter::{agent, api, entries, maps};

use agent::objects::directory::{Directory, Objects};
use agent::objects::kinds::{Namespace, NetworkPolicy, Pod};
use agent::owners::identity::Identities;
use agent::owners::local::LocalEndpoints;
use agent::reconcile::changes::Changes;
use agent::reconcile::view::View;
use agent::reconcile::wanted::{ViewChanges, Wanted};
use api::{NewEndpoint, PodRef};
use maps::{Endpoint, PolicyKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// This node; all others are others.
pub const HERE: &str = "here";

/// An object's JSON, and what was read of it.
type Read<K> = BTreeMap<String, (Value, Arc<K>)>;

pub struct Engine {
    files: Files,
    pods: Read<Pod>,
    namespaces: Read<Namespace>,
    policies: Read<NetworkPolicy>,
    pub directory: Directory,
    pub local: LocalEndpoints,
    pub identities: Rc<RefCell<Identities>>,
    pub wanted: Wanted,
    pub view: View,
    /// The maps, to which the changes were written and nothing else.
    pub endpoint_map: BTreeMap<Ipv4Addr, Endpoint>,
    pub policy_map: BTreeMap<PolicyKey, entries::Allowed>,
}

impl Engine {
    pub fn new(test: &str) -> Self {
        let name = format!("engine-{test}-{}", std::process::id());
        let files = std::env::temp_dir().join(name);
        let identities = Identities::load(files.join("identities"), Duration::ZERO).unwrap();
        Self {
            pods: Read::new(),
            namespaces: Read::new(),
            policies: Read::new(),
            directory: Directory::default(),
            local: LocalEndpoints::load(files.join("endpoints")).unwrap(),
            identities: Rc::new(RefCell::new(identities)),
            wanted: Wanted::new(HERE.into()),
            view: View::default(),
            endpoint_map: BTreeMap::new(),
            policy_map: BTreeMap::new(),
            files: Files(files),
        }
    }

    /// An engine that works in all at once. It knows what is in the files, and gives the same
    /// numbers.
    pub fn anew(&self) -> Self {
        let mut anew = Self {
            pods: self.pods.clone(),
            namespaces: self.namespaces.clone(),
            policies: self.policies.clone(),
            local: LocalEndpoints::load(self.files.0.join("endpoints")).unwrap(),
            identities: self.identities.clone(),
            ..Self::new("anew")
        };
        anew.update();
        anew
    }

    /// What PUT does for a pod.
    pub fn put(&mut self, number: usize, pod: &str, address: Ipv4Addr) {
        let (namespace, name) = pod.split_once('/').unwrap();
        let pod = PodRef { namespace: namespace.into(), name: name.into(), uid: None };
        let endpoint = NewEndpoint {
            container_id: String::new(),
            ifname: "eth0".into(),
            pod: Some(pod),
            address,
            mac: [0; 6],
            ifindex: 1,
        };
        self.local.insert(&link(number), endpoint).unwrap();
    }

    /// Takes in all objects there are now.
    pub fn set(&mut self, objects: Vec<Value>) {
        let [mut pods, mut namespaces, mut policies] = [const { Vec::new() }; 3];
        for object in objects {
            match object["kind"].as_str().unwrap() {
                "Pod" => pods.push(object),
                "Namespace" => namespaces.push(object),
                _ => policies.push(object),
            }
        }
        self.pods = read(pods, &self.pods);
        self.namespaces = read(namespaces, &self.namespaces);
        self.policies = read(policies, &self.policies);
        self.update();
    }

    /// As the agent's engine does it.
    pub fn update(&mut self) {
        self.directory.set_all(&Objects {
            pods: self.pods.values().map(|it| it.1.clone()).collect(),
            namespaces: self.namespaces.values().map(|it| it.1.clone()).collect(),
            policies: self.policies.values().map(|it| it.1.clone()).collect(),
        });
        let mut identities = self.identities.borrow_mut();
        let changes = self.wanted.update(&mut self.directory, &mut self.local, &mut identities);
        self.view.learn(&changes, &self.wanted, &self.local, &identities);
        self.wanted.for_view = ViewChanges::default();
        identities.gc_unused(&self.wanted.claims.owners.identities(), SystemTime::now());
        drop(identities);
        self.write(&changes);
    }

    fn write(&mut self, changes: &Changes) {
        for address in &changes.endpoints {
            match self.wanted.endpoints.get(address) {
                Some(endpoint) => self.endpoint_map.insert(*address, *endpoint),
                None => self.endpoint_map.remove(address),
            };
        }
        for pair in &changes.policy {
            match entries::wanted(&self.wanted, pair) {
                Some(allowed) => self.policy_map.insert(*pair, allowed),
                None => self.policy_map.remove(pair),
            };
        }
    }
}

/// The files go with the engine.
pub struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The host end of a numbered endpoint.
pub fn link(number: usize) -> String {
    format!("veth{number:011x}")
}

/// Reads what is another than before.
fn read<K: DeserializeOwned>(objects: Vec<Value>, before: &Read<K>) -> Read<K> {
    let read = |object: Value| {
        let name = format!("{} {}", object["metadata"]["namespace"], object["metadata"]["name"]);
        let known = before.get(&name).filter(|it| it.0 == object).map(|it| it.1.clone());
        let it = known.unwrap_or_else(|| Arc::new(serde_json::from_value(object.clone()).unwrap()));
        (name, (object, it))
    };
    objects.into_iter().map(read).collect()
}
