//! ADDs that wait until their endpoint is in the maps.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::oneshot;

use super::datapath::Datapath;
use super::wanted::Wanted;

/// How long PUT waits for the pod's labels; the plugin's patience is a little longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Those who wait.
#[derive(Debug, Default)]
pub struct Waiting(Vec<Add>);

#[derive(Debug)]
struct Add {
    link: String,
    until: Instant,
    answer: oneshot::Sender<Result<()>>,
}

impl Waiting {
    /// One more, from now on.
    pub fn push(&mut self, link: String, answer: oneshot::Sender<Result<()>>) {
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
            let address = wanted.claims.owners.get(&add.link).and_then(|claimant| {
                let known = claimant.endpoint.is_some();
                claimant.addresses.first().filter(|_| known)
            });
            match address {
                Some(address) if datapath.has(wanted, *address) => drop(add.answer.send(Ok(()))),
                _ if add.until > now => self.0.push(add),
                Some(_) => {
                    refused.push(add.refuse("it is not in the maps: see `ebpf-agent status`"))
                }
                None => {
                    let why = wanted.claims.failure(&add.link).map(String::as_str);
                    let unknown = "its pod or namespace is not known to the API yet";
                    refused.push(add.refuse(why.unwrap_or(unknown)));
                }
            }
        }
        refused
    }
}

impl Add {
    fn refuse(self, why: &str) -> String {
        // The plugin may have given up.
        let _ = self.answer.send(Err(anyhow!("{}: {why}", self.link)));
        self.link
    }
}
