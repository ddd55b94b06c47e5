//! What others send to the engine.

use anyhow::Result;
use tokio::sync::oneshot;

use super::filters::Veths;
use crate::agent::objects::changed::Changed;
use crate::api::NewEndpoint;

/// A message to the engine.
#[derive(Debug)]
pub enum Message {
    /// From a source of objects.
    Objects(Changed),
    /// From netlink: the filters of some veths may have changed.
    Filters(Veths),
    /// From the plugin: it has made an endpoint, and waits for the answer.
    Put(String, NewEndpoint, oneshot::Sender<Result<()>>),
    /// From the plugin: it takes an endpoint away, and waits for the answer.
    Delete(String, oneshot::Sender<Result<()>>),
}
