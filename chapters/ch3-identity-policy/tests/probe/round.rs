//! Many attempts at once: which are answered, and which get through though they must not?

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Cluster;
use super::expect::Attempt;
use super::socket::{Client, Protocol};

/// How long a round waits for answers that must come, before new sockets try again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it listens for answers that must not come when all others have come: what they
/// answer was sent before, and goes the same way.
const SETTLE: Duration = Duration::from_millis(100);

/// What came of a round.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Should be denied, and got through.
    pub leaks: Vec<&'a Attempt>,
    /// Should be answered, and was not.
    pub missing: Vec<&'a Attempt>,
}

impl Cluster {
    /// Tries all at once, each by a socket of its own that nobody has used before.
    pub fn round<'a>(&self, denied: &[&'a Attempt], allowed: &[&'a Attempt]) -> Outcome<'a> {
        static TOKENS: AtomicU64 = AtomicU64::new(0);
        let attempts = [denied, allowed].concat();
        let first = TOKENS.fetch_add(attempts.len() as u64, Ordering::Relaxed);
        let wanted: HashSet<_> = (first + denied.len() as u64..).take(allowed.len()).collect();
        let clients = self.open(&attempts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let mut asked = JoinSet::new();
            for ((attempt, client), token) in attempts.iter().zip(clients).zip(first..) {
                asked.spawn(self.ask(attempt, client, token));
            }
            collect(asked, &wanted).await
        });
        let arrived = &self.servers.arrived;
        let mut outcome = Outcome { leaks: Vec::new(), missing: Vec::new() };
        for (attempt, token) in attempts.into_iter().zip(first..) {
            let is_answered = answered.contains(&token);
            if wanted.contains(&token) {
                outcome.missing.extend((!is_answered).then_some(attempt));
            } else if is_answered || arrived.has(token) {
                outcome.leaks.push(attempt);
            }
        }
        outcome
    }

    /// Opens a client for each attempt, with one visit to each place.
    fn open(&self, attempts: &[&Attempt]) -> Vec<Client> {
        let mut clients: Vec<_> = attempts.iter().map(|_| None).collect();
        for (name, place) in &self.places {
            let its = attempts.iter().zip(&mut clients).filter(|(it, _)| it.from == *name);
            let its: Vec<_> = its.collect();
            if !its.is_empty() {
                place.enter(&self.node, move || {
                    for (attempt, client) in its {
                        *client = Some(Client::open(attempt.protocol, place.address).unwrap());
                    }
                });
            }
        }
        let found = |(client, it): (Option<_>, &&Attempt)| {
            client.unwrap_or_else(|| panic!("{}: there is no such place", it.from))
        };
        clients.into_iter().zip(attempts).map(found).collect()
    }

    /// The token, if the right one answers.
    fn ask(
        &self,
        attempt: &Attempt,
        client: Client,
        token: u64,
    ) -> impl Future<Output = Option<u64>> + Send + 'static {
        let (attempt, arrived) = (attempt.clone(), self.servers.arrived.clone());
        let place = self.places.get(&attempt.to).map(|place| place.address);
        let address = place.unwrap_or_else(|| attempt.to.parse().unwrap());
        let to = SocketAddrV4::new(address, attempt.port);
        async move {
            match client.ask(to, token, |token| arrived.note(token)).await {
                // Behind a Service's address there may be any pod; the kernel says no name.
                Ok(name) => {
                    let is_nameless = place.is_none() || attempt.protocol == Protocol::Icmp;
                    (is_nameless || name == attempt.to).then_some(token)
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    panic!("{attempt}: it gets through, and nobody listens")
                }
                Err(_) => None,
            }
        }
    }
}

/// The tokens of what is answered, until all that are wanted are there and a little longer.
async fn collect(mut asked: JoinSet<Option<u64>>, wanted: &HashSet<u64>) -> HashSet<u64> {
    let mut answered = HashSet::new();
    let mut until = Instant::now() + PATIENCE;
    let mut settling = false;
    loop {
        if !settling && wanted.is_subset(&answered) {
            settling = true;
            until = Instant::now() + SETTLE;
        }
        match timeout_at(until, asked.join_next()).await {
            Ok(Some(token)) => answered.extend(token.unwrap()),
            // Time is up, or everybody has answered.
            _ => return answered,
        }
    }
}
