//! What goes wrong, as the spec wants it reported: JSON on stdout with a code (SPEC §5, "Error").

use serde_json::{Value, json};

/// An error result: one of the spec's codes, what is wrong, and the details.
#[derive(Debug, thiserror::Error)]
#[error("{msg}: {details}")]
pub struct CniError {
    /// One of [`code`].
    pub code: u32,
    /// What is wrong, in a few words that name the input.
    pub msg: String,
    /// The value that was found, and what to do.
    pub details: String,
}

/// The spec's codes, and one of our own (plugins may use 100 and above).
pub mod code {
    /// The version in `cniVersion` is not spoken here, or has no such command.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// An environment variable is missing or makes no sense.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// A file could not be read or written.
    pub const IO_FAILURE: u32 = 5;
    /// stdin is not JSON, or a field has another type.
    pub const DECODE_FAILURE: u32 = 6;
    /// A field of the configuration has a value that cannot be.
    pub const INVALID_CONFIG: u32 = 7;
    /// Nothing is wrong with the call; the runtime may repeat it.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: no ADD can be served now.
    pub const NOT_AVAILABLE: u32 = 50;
    /// Ours: the kernel refused, or the node is not as it should be.
    pub const PLUGIN_FAILURE: u32 = 100;
}

impl CniError {
    /// An error with one of the codes in [`code`].
    pub fn new(code: u32, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: details.into() }
    }

    /// The error result that goes to stdout; `asked` is the `cniVersion` of the request.
    pub fn to_json(&self, asked: &str) -> Value {
        json!({ "cniVersion": asked, "code": self.code, "msg": self.msg, "details": self.details })
    }
}

/// Inside, errors are `anyhow`'s; here, at the protocol's edge, each gets a code.
impl From<anyhow::Error> for CniError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<CniError>() {
            Ok(error) => error,
            Err(error) => {
                let io = error.chain().any(|cause| cause.is::<std::io::Error>());
                let code = if io { code::IO_FAILURE } else { code::PLUGIN_FAILURE };
                let causes: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
                CniError::new(code, error.to_string(), causes.join(": "))
            }
        }
    }
}
