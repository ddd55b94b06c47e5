//! What libbpf says, and the verifier through it: an error quotes it.

use std::sync::Mutex;

use libbpf_rs::PrintLevel;

static SAID: Mutex<String> = Mutex::new(String::new());

/// Takes a message of libbpf.
pub(super) fn note(_: PrintLevel, message: String) {
    if let Ok(mut said) = SAID.lock() {
        said.push_str(&message);
    }
}

/// Forgets what was said of something else: an agent lives long.
pub(super) fn forget_said() {
    if let Ok(mut said) = SAID.lock() {
        said.clear();
    }
}

/// All messages since then.
pub(super) fn said() -> String {
    SAID.lock().map(|said| said.trim().to_string()).unwrap_or_default()
}
