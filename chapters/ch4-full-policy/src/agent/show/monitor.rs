//! `monitor`: drops and new connections with names and reasons, as they come.

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::table::{Output, say};
use crate::agent::serve::flow::NamedEvent;
use crate::client;

const ENDED: &str = "ebpf-agent has ended; when it runs again, so may `monitor`";

/// What the agent says in a line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    NamedEvent(Box<NamedEvent>),
    /// We were too slow for it: so many events were missed.
    Lost {
        lost: u64,
    },
}

/// What to show.
#[derive(Debug, Args)]
pub struct Options {
    /// Only drops, or only new connections
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// Only from this pod or address
    #[arg(long, value_name = "POD")]
    from: Option<String>,
    /// Only to this pod or address
    #[arg(long, value_name = "POD")]
    to: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Of which kind an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Drop,
    New,
}

impl Options {
    fn wants(&self, told: &NamedEvent) -> bool {
        let kind = if told.event.dropped { Kind::Drop } else { Kind::New };
        let is = |wanted: &Option<String>, name: &str, address: String| {
            wanted.as_ref().is_none_or(|wanted| {
                wanted == name || *wanted == address || name.split('/').next_back() == Some(wanted)
            })
        };
        self.kind.is_none_or(|wanted| wanted == kind)
            && is(&self.from, &told.source_name, told.event.source.to_string())
            && is(&self.to, &told.destination_name, told.event.destination.to_string())
    }
}

/// Prints until the reader has gone. That the agent ends is an error: what comes then is not
/// seen.
pub fn follow(options: &Options) -> Result<()> {
    for line in client::lines("/v1/monitor")? {
        let line = line.context(ENDED)?;
        let text = match serde_json::from_str::<Line>(&line).context(ENDED)? {
            Line::NamedEvent(told) if !options.wants(&told) => continue,
            Line::NamedEvent(_) if options.output.is_json() => line,
            Line::NamedEvent(told) => sentence(&told),
            Line::Lost { lost } => format!("lost {lost} events"),
        };
        say(text)?;
    }
    bail!(ENDED)
}

/// An event in a line, and a second one for why.
fn sentence(told: &NamedEvent) -> String {
    let event = &told.event;
    let port = |port: u16| if port == 0 { String::new() } else { format!(":{port}") };
    let mut text = format!(
        "{} {}{} → {}{} {} {}: {}",
        if event.dropped { "drop" } else { "new " },
        told.source_name,
        port(event.source_port),
        told.destination_name,
        port(event.destination_port),
        protocol(event.protocol),
        event.hook,
        event.reason
    );
    if let Some(why) = &told.explanation {
        text.push_str(&format!("\n     {}; isolated by {}", why.why, why.isolated_by.join(", ")));
        if let Some(miss) = &why.nearest_miss {
            text.push_str(&format!("\n     nearest miss: {miss}"));
        }
    }
    text
}

fn protocol(number: u8) -> String {
    match number {
        0 => "not IPv4".into(),
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        132 => "SCTP".into(),
        other => format!("protocol {other}"),
    }
}
