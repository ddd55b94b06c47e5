//! What the runtime says in environment variables (SPEC §2, "Parameters").

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{CniError, code};

// #region request
/// One call of the plugin: the command with exactly what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Connect the pod.
    Add {
        /// Which container, which interface.
        attachment: Attachment,
        /// The pod's network namespace.
        netns: PathBuf,
    },
    /// Disconnect it. The namespace may be gone, so DEL does not ask for it.
    Del {
        /// Which container, which interface.
        attachment: Attachment,
    },
    /// Is all still as ADD left it?
    Check {
        /// Which container, which interface.
        attachment: Attachment,
        /// The pod's network namespace.
        netns: PathBuf,
    },
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Could an ADD be served?
    Status,
    /// Which versions of the spec?
    Version,
}
// #endregion request

/// A container's interface: the unit that ADD makes and DEL removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`, the interface's name inside the pod.
    pub ifname: String,
    /// `namespace/name` of the pod if Kubernetes is calling, for people to read.
    pub pod: Option<String>,
}

impl Attachment {
    /// The host end's name: `veth` and 11 hex digits, 15 bytes, as many as the kernel takes.
    ///
    /// A hash instead of a random name: DEL and GC find the link without asking anybody.
    /// FNV-1a, because an upgraded plugin must still compute the same.
    pub fn host_link(&self) -> String {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in format!("{}/{}", self.container_id, self.ifname).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("veth{:011x}", hash >> 20)
    }
}

impl Request {
    /// Reads the environment through `var`; one error lists all that is missing.
    pub fn from_env(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, CniError> {
        let text = |name: &str| match var(name).map(OsString::into_string) {
            None => Ok(String::new()),
            Some(Ok(value)) => Ok(value),
            Some(Err(raw)) => Err(invalid(name, &raw.to_string_lossy(), "is not UTF-8")),
        };
        let command = text("CNI_COMMAND")?;
        let required: &[&str] = match command.as_str() {
            "ADD" | "CHECK" => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            "DEL" => &["CNI_CONTAINERID", "CNI_IFNAME"],
            "GC" => &["CNI_PATH"],
            "STATUS" | "VERSION" => &[],
            "" => &["CNI_COMMAND"],
            other => return Err(invalid("CNI_COMMAND", other, "is no command of the spec")),
        };
        let empty = |name: &&&str| var(name).is_none_or(|value| value.is_empty());
        let missing: Vec<_> = required.iter().filter(empty).copied().collect();
        if !missing.is_empty() {
            return Err(CniError::new(
                code::INVALID_ENVIRONMENT,
                "required environment variables are missing",
                missing.join(", "),
            ));
        }
        let attachment = || {
            let container_id = text("CNI_CONTAINERID")?;
            if !is_identifier(&container_id) {
                let rule = "must start with a letter or digit, then letters, digits, '_', '.', '-'";
                return Err(invalid("CNI_CONTAINERID", &container_id, rule));
            }
            let ifname = text("CNI_IFNAME")?;
            if !is_ifname(&ifname) {
                return Err(invalid("CNI_IFNAME", &ifname, IFNAME_RULE));
            }
            let pod = pod_name(&text("CNI_ARGS")?)?;
            Ok(Attachment { container_id, ifname, pod })
        };
        let netns = || var("CNI_NETNS").map(PathBuf::from).unwrap_or_default();
        Ok(match command.as_str() {
            "ADD" => Self::Add { attachment: attachment()?, netns: netns() },
            "CHECK" => Self::Check { attachment: attachment()?, netns: netns() },
            "DEL" => Self::Del { attachment: attachment()? },
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            _ => Self::Version,
        })
    }

    /// The command, as in `CNI_COMMAND`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "ADD",
            Self::Del { .. } => "DEL",
            Self::Check { .. } => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

/// Container IDs and network names: `^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$` (SPEC §1, §2).
/// They become file names, so this also keeps `/` and `..` out.
pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// What [`is_ifname`] wants.
pub const IFNAME_RULE: &str = "must be 1 to 15 visible ASCII characters without '/', ':', '%', and not '.', '..', 'all', 'default'";

/// What the kernel takes as an interface's name (`dev_valid_name`), and takes as it is: it puts a
/// number in `%d`'s place, and has no sysctls for `all` and `default` (`sysctl_dev_name_is_allowed`).
pub fn is_ifname(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && ![".", "..", "all", "default"].contains(&text)
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte))
}

/// `K8S_POD_NAMESPACE` and `K8S_POD_NAME` out of `CNI_ARGS` (`KEY=VALUE;…`); other keys are not ours.
fn pod_name(args: &str) -> Result<Option<String>, CniError> {
    let (mut namespace, mut name) = (None, None);
    for pair in args.split(';').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("K8S_POD_NAMESPACE", value)) => namespace = Some(value),
            Some(("K8S_POD_NAME", value)) => name = Some(value),
            Some(_) => {}
            None => return Err(invalid("CNI_ARGS", args, "must be KEY=VALUE;KEY=VALUE;…")),
        }
    }
    Ok(namespace.zip(name).map(|(namespace, name)| format!("{namespace}/{name}")))
}

fn invalid(name: &str, value: &str, rule: &str) -> CniError {
    let msg = format!("{name} {rule}");
    CniError::new(code::INVALID_ENVIRONMENT, msg, format!("{name}={value:?}"))
}

#[cfg(test)]
mod tests;
