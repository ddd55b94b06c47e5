//! What the engine counts while it runs, for the metrics.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Clones count together.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Seconds from the report of a change to the maps.
    pub lag: Arc<Histogram>,
    /// How often something could not be written.
    pub errors: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        // From a quarter of a millisecond to eight seconds.
        let lag = Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        Self { lag: Arc::new(lag), errors: Counter::default() }
    }
}

impl Counters {
    /// A change of some object is in the maps.
    pub fn caught_up(&self, since: Instant) {
        self.lag.observe(since.elapsed().as_secs_f64());
    }
}
