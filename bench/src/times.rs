//! Many durations, and what is told of them.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::report::Cell;

/// Durations in nanoseconds, three digits of each.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// One more.
    pub fn record(&mut self, time: Duration) -> Result<()> {
        Ok(self.0.record(time.as_nanos().try_into()?)?)
    }

    /// All of another's.
    pub fn extend(&mut self, others: &Self) -> Result<()> {
        Ok(self.0.add(&others.0)?)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len() as usize
    }

    /// The time that this share of all does not exceed, in nanoseconds.
    pub fn ns(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { f64::NAN } else { self.0.value_at_quantile(quantile) as f64 }
    }

    /// The same in microseconds.
    pub fn us(&self, quantile: f64) -> f64 {
        self.ns(quantile) / 1e3
    }

    /// The same in milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        self.ns(quantile) / 1e6
    }
}

/// What one kind of change takes until it is in force.
#[derive(Debug)]
pub struct Lag {
    /// The change.
    pub what: &'static str,
    /// Until the first packet that is treated so, where there are packets.
    pub packet: Times,
    /// Until the maps say so, or the agent answers.
    pub map: Times,
}

impl Lag {
    /// None yet.
    pub fn new(what: &'static str) -> Result<Self> {
        Ok(Self { what, packet: Times::new()?, map: Times::new()? })
    }

    /// By packets, where there are any.
    pub fn seen(&self) -> &Times {
        if self.packet.count() > 0 { &self.packet } else { &self.map }
    }
}

/// The same changes, made once more.
pub fn add(lags: &mut Vec<Lag>, more: Vec<Lag>) -> Result<()> {
    if lags.is_empty() {
        *lags = more;
        return Ok(());
    }
    for (lag, more) in lags.iter_mut().zip(more) {
        lag.packet.extend(&more.packet)?;
        lag.map.extend(&more.map)?;
    }
    Ok(())
}

/// Milliseconds in a table.
pub fn ms(time: f64) -> Cell {
    Cell::Number(time, 2)
}

/// The middle one of some figures.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
