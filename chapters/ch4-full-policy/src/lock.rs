//! Waiting for each other: plugins run side by side and know nothing of one another.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::error::{CniError, code};

/// How long to wait for others: as a rule they hold a lock for less than a millisecond.
const DEADLINE: Duration = Duration::from_secs(10);

/// Locks an open file until it is closed, which the kernel does also after `kill -9`.
/// Error 11 after 10 s of waiting.
pub fn exclusive(file: &File, path: &Path) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    let details = format!("{} is held by another plugin for 10 s", path.display());
    Err(CniError::new(code::TRY_AGAIN_LATER, "another plugin is busy", details).into())
}
