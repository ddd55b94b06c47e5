//! Words for people. Whoever reads may have gone, as in `lab pods | head -n1`, and `println!` would
//! panic: then the rest is nobody's, but what there is to do is done to its end.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

static LOST: AtomicBool = AtomicBool::new(false);

/// Writes a line to stdout.
pub fn say(text: impl Display) {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            LOST.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Writes a line to stderr, if there is anybody.
pub fn warn(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Was there somebody to read, but a line could not be written: to a full disk?
pub fn is_incomplete() -> bool {
    LOST.load(Ordering::Relaxed)
}
