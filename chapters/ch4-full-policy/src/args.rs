//! What the runtime says in environment variables (SPEC §2, "Parameters").

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{CniError, code};

// #region request
/// A command about a network, with exactly what it needs.
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
}
// #endregion request

/// What `CNI_COMMAND` says.
#[derive(Debug, Clone, Copy)]
enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Command {
    fn parse(text: &str) -> Result<Self, CniError> {
        match text {
            "ADD" => Ok(Self::Add),
            "DEL" => Ok(Self::Del),
            "CHECK" => Ok(Self::Check),
            "GC" => Ok(Self::Gc),
            "STATUS" => Ok(Self::Status),
            "VERSION" => Ok(Self::Version),
            "" => Err(missing(&["CNI_COMMAND"])),
            other => Err(invalid("CNI_COMMAND", other, "is no command of the spec")),
        }
    }

    /// The variables that must be there, and not be empty.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Self::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Self::Gc => &["CNI_PATH"],
            Self::Status | Self::Version => &[],
        }
    }
}

/// A container's interface: the unit that ADD makes and DEL removes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`, the interface's name inside the pod.
    pub ifname: String,
    /// `namespace/name` of the pod if Kubernetes is calling, for people to read.
    pub pod: Option<String>,
    /// Its uid: by it the agent knows it from an earlier pod of the same name.
    pub uid: Option<String>,
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
    /// Reads the environment through `var`; one error lists all that is missing. `None` is VERSION,
    /// which is about no network.
    pub fn from_env(var: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, CniError> {
        let text = |name: &str| match var(name).map(OsString::into_string) {
            None => Ok(String::new()),
            Some(Ok(value)) => Ok(value),
            Some(Err(raw)) => Err(invalid(name, &raw.to_string_lossy(), "is not UTF-8")),
        };
        let command = Command::parse(&text("CNI_COMMAND")?)?;
        let mut absent = command.required().to_vec();
        absent.retain(|name| var(name).is_none_or(|value| value.is_empty()));
        if !absent.is_empty() {
            return Err(missing(&absent));
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
            let (pod, uid) = pod_name(&text("CNI_ARGS")?)?;
            Ok(Attachment { container_id, ifname, pod, uid })
        };
        let netns = || var("CNI_NETNS").map(PathBuf::from).unwrap_or_default();
        Ok(Some(match command {
            Command::Add => Self::Add { attachment: attachment()?, netns: netns() },
            Command::Check => Self::Check { attachment: attachment()?, netns: netns() },
            Command::Del => Self::Del { attachment: attachment()? },
            Command::Gc => Self::Gc,
            Command::Status => Self::Status,
            Command::Version => return Ok(None),
        }))
    }

    /// The command, as in `CNI_COMMAND`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "ADD",
            Self::Del { .. } => "DEL",
            Self::Check { .. } => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
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

/// `K8S_POD_NAMESPACE` and `K8S_POD_NAME`, and `K8S_POD_UID`, out of `CNI_ARGS`
/// (`KEY=VALUE;…`); other keys are not ours.
fn pod_name(args: &str) -> Result<(Option<String>, Option<String>), CniError> {
    let (mut namespace, mut name, mut uid) = (None, None, None);
    for pair in args.split(';').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("K8S_POD_NAMESPACE", value)) => namespace = Some(value),
            Some(("K8S_POD_NAME", value)) => name = Some(value),
            Some(("K8S_POD_UID", value)) => uid = Some(value),
            Some(_) => {}
            None => return Err(invalid("CNI_ARGS", args, "must be KEY=VALUE;KEY=VALUE;…")),
        }
    }
    let pod = namespace.zip(name).map(|(namespace, name)| format!("{namespace}/{name}"));
    Ok((pod, uid.map(String::from)))
}

fn missing(names: &[&str]) -> CniError {
    let msg = "required environment variables are missing";
    CniError::new(code::INVALID_ENVIRONMENT, msg, names.join(", "))
}

fn invalid(name: &str, value: &str, rule: &str) -> CniError {
    let msg = format!("{name} {rule}");
    CniError::new(code::INVALID_ENVIRONMENT, msg, format!("{name}={value:?}"))
}

#[cfg(test)]
mod tests;
