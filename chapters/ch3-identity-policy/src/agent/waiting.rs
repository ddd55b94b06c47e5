//! ADDs that wait until their endpoint is in the maps.

use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::datapath::Datapath;
use super::wanted::Wanted;
use crate::api::EndpointStatus;

/// How long PUT waits for the pod's labels; the plugin's patience is a little longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Those who wait.
#[derive(Debug, Default)]
pub struct Waiting(Vec<Add>);

#[derive(Debug)]
struct Add {
    link: String,
    until: Instant,
    answer: oneshot::Sender<Result<EndpointStatus>>,
}

impl Waiting {
    /// One more, from now on.
    pub fn push(&mut self, link: String, answer: oneshot::Sender<Result<EndpointStatus>>) {
        self.0.push(Add { link, until: Instant::now() + PATIENCE, answer });
    }

    /// When the first one's patience is at an end.
    pub fn patience(&self) -> Option<Instant> {
        self.0.iter().map(|add| add.until).min()
    }

    /// Answers those whose endpoint is in the maps, and refuses those whose patience is at an end:
    /// their links.
    pub fn answer(&mut self, wanted: &Wanted, datapath: &Datapath) -> Vec<String> {
        let now = Instant::now();
        let mut refused = Vec::new();
        for add in std::mem::take(&mut self.0) {
            let status = wanted.status.iter().find(|status| status.link == add.link);
            match status {
                Some(status) if datapath.has(wanted, status.new.address) => {
                    let _ = add.answer.send(Ok(status.clone()));
                }
                _ if add.until > now => self.0.push(add),
                Some(_) => refused.push(add.refuse("endpoint_map is full")),
                None => {
                    let told = wanted.problems.iter().find(|it| it.starts_with(&add.link));
                    let unknown = "its pod or namespace is not known to the API yet";
                    refused.push(add.refuse(told.map_or(unknown, String::as_str)));
                }
            }
        }
        refused
    }

    /// Refuses all of them: their links.
    pub fn refuse_all(&mut self, error: &Error) -> Vec<String> {
        self.0.drain(..).map(|add| add.refuse(&format!("{error:#}"))).collect()
    }
}

impl Add {
    fn refuse(self, why: &str) -> String {
        // The plugin may have given up.
        let _ = self.answer.send(Err(anyhow!("{}: {why}", self.link)));
        self.link
    }
}
