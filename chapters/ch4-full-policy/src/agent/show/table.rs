//! Tables for people, JSON for programs.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// For programs
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

impl Output {
    /// For programs?
    pub fn is_json(self) -> bool {
        self.output.is_some()
    }
}

/// A format.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
}

/// Prints a line. The reader may want no more, as in `endpoint list | head -n1`: other programs are
/// ended by SIGPIPE then, which Rust turns off, and `println!` would panic.
pub fn say(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context("cannot write to stdout"),
    }
}

/// Prints JSON.
pub fn json(value: &impl Serialize) -> Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// Prints rows under titles, or the JSON of the same.
pub fn table<T: Serialize>(
    output: Output,
    values: &[T],
    titles: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<()> {
    if output.is_json() {
        return json(&values);
    }
    let titles = titles.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(values.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        say(cells.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    Ok(())
}
