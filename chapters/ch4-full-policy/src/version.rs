//! Spec versions: which we speak, and which commands each of them has.

use serde_json::{Value, json};

use crate::args::Request;
use crate::error::{CniError, code};

/// A version of the CNI spec; later ones compare as greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum SpecVersion {
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl SpecVersion {
    /// All that we speak, oldest first.
    pub const SUPPORTED: [Self; 5] =
        [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// As it stands in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Reads `cniVersion`. No guessing: what is not in the list is error 1, so is its absence.
    pub fn parse(text: Option<&str>) -> Result<Self, CniError> {
        let version = Self::SUPPORTED.into_iter().find(|version| Some(version.as_str()) == text);
        version.ok_or_else(|| {
            let wrong = text.map_or("is missing".into(), |text| format!("is {text:?}"));
            incompatible(format!(
                "cniVersion {wrong}, this plugin speaks {:?}",
                Self::SUPPORTED.map(Self::as_str)
            ))
        })
    }

    /// CHECK came with 0.4.0, GC and STATUS with 1.1.0.
    pub fn allows(self, request: &Request) -> Result<(), CniError> {
        let since = match request {
            Request::Check { .. } => Self::V0_4_0,
            Request::Gc | Request::Status => Self::V1_1_0,
            Request::Add { .. } | Request::Del { .. } => Self::V0_3_0,
        };
        if self >= since {
            return Ok(());
        }
        Err(incompatible(format!(
            "config version does not allow {}: cniVersion is {}, it came with {}",
            request.name(),
            self.as_str(),
            since.as_str()
        )))
    }
}

fn incompatible(details: String) -> CniError {
    CniError::new(code::INCOMPATIBLE_VERSION, "incompatible CNI version", details)
}

/// The version to answer in: the one asked for, even if we do not speak it.
pub fn asked_for(input: &Result<Value, CniError>) -> String {
    let asked = input.as_ref().ok().and_then(|conf| conf["cniVersion"].as_str());
    asked.unwrap_or(SpecVersion::V1_1_0.as_str()).to_string()
}

/// The answer to VERSION (SPEC: `cniVersion` is the value specified on input).
pub fn report(asked: &str) -> Value {
    json!({ "cniVersion": asked, "supportedVersions": SpecVersion::SUPPORTED.map(SpecVersion::as_str) })
}
