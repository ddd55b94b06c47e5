//! What the agent's monitor tells.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::Node;

use super::{Event, PATIENCE, client};

/// All that the agent's monitor has told since it was opened.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<Vec<Event>>>);

impl Monitor {
    /// Subscribes; returns when nothing can be missed any more.
    pub fn new(node: &Node) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let lines = node.enter(|| client::lines("/v1/monitor").unwrap()).unwrap();
        let sink = events.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().extend(serde_json::from_str::<Event>(&line));
            }
        });
        Self(events)
    }

    /// The first event that is as wanted, waited for.
    pub fn find(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.0.lock().unwrap().clone();
            if let Some(event) = events.iter().find(|event| is_it(event)) {
                return event.clone();
            }
            let told = || events.iter().map(line).collect::<Vec<_>>().join("\n");
            assert!(
                Instant::now() < deadline,
                "no event of {what} in {PATIENCE:?}, but:\n{}",
                told()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many are so, by now.
    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| is_it(event)).count()
    }
}

/// An event in a line.
fn line(event: &Event) -> String {
    let Event { hook, reason, source, destination, protocol, length, .. } = event;
    format!("{hook}: {reason}: {source} > {destination} protocol {protocol} length {length}")
}
