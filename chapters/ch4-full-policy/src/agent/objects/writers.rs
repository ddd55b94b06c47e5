//! The way of a manifest's objects into the reflectors: as a watch would bring them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher;

use super::key::{Key, Kind};
use super::kinds::{Namespace, NetworkPolicy, Pod};
use super::manifest::Object;

/// Where reflectors take objects in.
#[derive(Debug)]
pub struct Writers {
    /// Of pods.
    pub pods: Writer<Pod>,
    /// Of namespaces.
    pub namespaces: Writer<Namespace>,
    /// Of policies.
    pub policies: Writer<NetworkPolicy>,
}

impl Writers {
    /// An object becomes an event, as a watch would bring it.
    pub fn write(&mut self, object: Object, as_event: Wrap) {
        match object {
            Object::Pod(pod) => self.pods.apply_watcher_event(&as_event.event(pod)),
            Object::Namespace(namespace) => {
                self.namespaces.apply_watcher_event(&as_event.event(namespace))
            }
            Object::NetworkPolicy(policy) => {
                self.policies.apply_watcher_event(&as_event.event(policy))
            }
        }
    }

    /// An object is gone.
    pub fn delete(&mut self, Key { kind, namespace, name }: Key) {
        let metadata = ObjectMeta { namespace, name, ..ObjectMeta::default() };
        let object = match kind {
            Kind::Pod => Object::Pod(Pod { metadata, ..Pod::default() }),
            Kind::Namespace => Object::Namespace(Namespace { metadata }),
            Kind::NetworkPolicy => {
                Object::NetworkPolicy(NetworkPolicy { metadata, ..NetworkPolicy::default() })
            }
        };
        self.write(object, Wrap::Delete);
    }

    /// A first list begins, or begins anew.
    pub fn begin(&mut self) {
        self.pods.apply_watcher_event(&watcher::Event::Init);
        self.namespaces.apply_watcher_event(&watcher::Event::Init);
        self.policies.apply_watcher_event(&watcher::Event::Init);
    }

    /// It is a whole.
    pub fn end(&mut self) {
        self.pods.apply_watcher_event(&watcher::Event::InitDone);
        self.namespaces.apply_watcher_event(&watcher::Event::InitDone);
        self.policies.apply_watcher_event(&watcher::Event::InitDone);
    }
}

/// Which event an object becomes.
#[derive(Debug, Clone, Copy)]
pub enum Wrap {
    /// It is in the first list.
    InitApply,
    /// It is new, or another.
    Apply,
    /// It is gone.
    Delete,
}

impl Wrap {
    fn event<K>(self, object: K) -> watcher::Event<K> {
        match self {
            Self::InitApply => watcher::Event::InitApply(object),
            Self::Apply => watcher::Event::Apply(object),
            Self::Delete => watcher::Event::Delete(object),
        }
    }
}
