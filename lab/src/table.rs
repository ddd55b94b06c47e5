//! Tables as kubectl prints them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use lab::say;

/// What is listed, and how.
#[derive(Debug, clap::Args)]
pub struct Listed {
    /// Of this namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// A column with the labels
    #[arg(long)]
    pub show_labels: bool,
}

impl Listed {
    /// The one namespace that is listed, or `None`.
    pub fn only(&self) -> Option<&str> {
        (!self.all_namespaces).then_some(self.namespace.as_str())
    }
}

/// Prints columns, each a title and its cells, three spaces apart and as wide as need be.
pub fn print(columns: &[(&str, Vec<String>)]) {
    let rows = columns.first().map_or(0, |(_, cells)| cells.len());
    let mut lines = vec![String::new(); rows + 1];
    for (title, cells) in columns {
        let column = std::iter::once(*title).chain(cells.iter().map(String::as_str));
        let width = column.clone().map(|cell| cell.chars().count()).max().unwrap_or_default() + 3;
        for (line, cell) in lines.iter_mut().zip(column) {
            line.push_str(&format!("{cell:width$}"));
        }
    }
    for line in lines {
        say(line.trim_end());
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// An age as kubectl says it: 12s, 3m, 5h, 2d.
pub fn age(since: u64) -> String {
    match now().saturating_sub(since) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A cell of the column LABELS.
pub fn labels_of(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}
