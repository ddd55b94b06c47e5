//! Ending what other threads do.

use std::sync::atomic::{AtomicBool, Ordering};

/// Raises a flag when it is dropped: threads that go on until then end also when a test fails.
#[derive(Debug)]
pub struct Raise<'a>(pub &'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
