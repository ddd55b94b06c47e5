//! The network configuration on stdin (SPEC §1), checked field by field.

use std::io::Read;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::args::{Attachment, is_identifier, is_ifname};
use crate::error::{CniError, code};
use crate::version::SpecVersion;

/// A configuration with prevResult for one pod is a few KiB; nobody needs more than this.
const LONGEST_INPUT: u64 = 1 << 20;

/// A checked configuration: what stands here can be used as it is.
#[derive(Debug, Clone)]
pub struct NetConf {
    /// `cniVersion`.
    pub version: SpecVersion,
    /// `name` of the network; a directory and a firewall chain are named after it.
    pub name: String,
    /// `podcidr`, /8 to /29, without host bits: the pods' addresses come from here.
    pub podcidr: Ipv4Net,
    /// `bridge`, by default `bridge0` as in the talk.
    pub bridge: String,
    /// `mtu` of both ends of each veth pair; the kernel's default if absent.
    pub mtu: Option<u32>,
    /// `ipMasq`: hide the pods behind the node's address when they talk to the outside.
    pub ip_masq: bool,
    /// `leaseDir`: must not survive a reboot, since the pods do not.
    pub lease_dir: PathBuf,
    /// `prevResult`: on ADD from the plugin before us, on CHECK what ADD answered.
    pub prev_result: Option<Map<String, Value>>,
    /// `cni.dev/valid-attachments` (GC): `None` if the key is missing, empty if it is `null`.
    pub valid_attachments: Option<Vec<Attachment>>,
}

/// Reads stdin to its end and decodes it. Errors 5 and 6.
pub fn read(stdin: impl Read) -> Result<Value, CniError> {
    let mut input = Vec::new();
    let read = stdin.take(LONGEST_INPUT + 1).read_to_end(&mut input);
    read.map_err(|e| CniError::new(code::IO_FAILURE, "cannot read stdin", e.to_string()))?;
    if input.len() as u64 > LONGEST_INPUT {
        return Err(undecodable(format!("it is longer than {LONGEST_INPUT} bytes")));
    }
    match serde_json::from_slice(&input) {
        Ok(conf @ Value::Object(_)) => Ok(conf),
        Ok(other) => Err(undecodable(format!("expected an object {{…}}, found {other}"))),
        Err(error) => Err(undecodable(error.to_string())),
    }
}

impl NetConf {
    /// Checks a decoded configuration. Unknown keys are ignored, `null` is as good as absent.
    pub fn parse(conf: Value) -> Result<Self, CniError> {
        let version = SpecVersion::parse(field::<String>(&conf, "cniVersion")?.as_deref())?;
        let name: String = field(&conf, "name")?.unwrap_or_default();
        if !is_identifier(&name) {
            let rule = "must start with a letter or digit, then letters, digits, '_', '.', '-'";
            return Err(invalid("name", &name, rule));
        }
        let Some(podcidr) = field::<String>(&conf, "podcidr")? else {
            return Err(invalid("podcidr", "", "is missing; say for instance \"10.13.0.0/24\""));
        };
        let bridge = field(&conf, "bridge")?.unwrap_or("bridge0".to_string());
        if !is_ifname(&bridge) {
            let rule = "must be 1 to 15 bytes without '/', ':' or white space";
            return Err(invalid("bridge", &bridge, rule));
        }
        let mtu: Option<u32> = field(&conf, "mtu")?;
        if let Some(mtu) = mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
            return Err(invalid("mtu", &mtu.to_string(), "must be 68 to 65535"));
        }
        let lease_dir = field(&conf, "leaseDir")?.unwrap_or(PathBuf::from("/run/ebpfcni"));
        if !lease_dir.is_absolute() {
            return Err(invalid("leaseDir", &lease_dir.to_string_lossy(), "must be absolute"));
        }
        Ok(Self {
            version,
            podcidr: parse_podcidr(&podcidr)?,
            bridge,
            mtu,
            ip_masq: field(&conf, "ipMasq")?.unwrap_or(true),
            lease_dir: lease_dir.join(&name),
            name,
            prev_result: field(&conf, "prevResult")?,
            valid_attachments: valid_attachments(&conf)?,
        })
    }

    /// The pods' default gateway, on the bridge: the first address of `podcidr`.
    pub fn gateway(&self) -> Ipv4Addr {
        // No overflow: a podcidr has at least 8 addresses.
        Ipv4Addr::from(u32::from(self.podcidr.network()) + 1)
    }
}

/// One field by name. Its absence is `None`, another type is error 6 with name and value.
fn field<T: DeserializeOwned>(conf: &Value, name: &str) -> Result<Option<T>, CniError> {
    let value = conf[name].clone();
    let shown = value.to_string();
    serde_json::from_value(value).map_err(|e| {
        CniError::new(
            code::DECODE_FAILURE,
            format!("cannot decode {name}"),
            format!("{name} is {shown}: {e}"),
        )
    })
}

fn parse_podcidr(text: &str) -> Result<Ipv4Net, CniError> {
    let refuse = |rule: &str| invalid("podcidr", text, rule);
    if text.contains(':') {
        return Err(refuse("is IPv6, this plugin does IPv4 only"));
    }
    let Ok(net) = text.parse::<Ipv4Net>() else {
        return Err(refuse("is no IPv4 network, say for instance \"10.13.0.0/24\""));
    };
    let network = net.network();
    if net.addr() != network {
        return Err(refuse(&format!("has host bits set, did you mean {}?", net.trunc())));
    }
    if !(8..=29).contains(&net.prefix_len()) {
        return Err(refuse("must have a prefix of /8 to /29"));
    }
    if network.octets()[0] == 0 || network.is_loopback() || network.octets()[0] >= 224 {
        return Err(refuse("holds no addresses that a pod could have"));
    }
    Ok(net)
}

/// GC's list. Missing is not the same as empty: empty means that everything goes.
fn valid_attachments(conf: &Value) -> Result<Option<Vec<Attachment>>, CniError> {
    const KEY: &str = "cni.dev/valid-attachments";
    #[derive(serde::Deserialize)]
    struct Valid {
        #[serde(rename = "containerID")]
        container_id: String,
        ifname: String,
    }
    if conf.get(KEY).is_none() {
        return Ok(None);
    }
    let valid: Vec<Valid> = field(conf, KEY)?.unwrap_or_default();
    let attachment = |v: Valid| Attachment {
        container_id: v.container_id,
        ifname: v.ifname,
        ..Attachment::default()
    };
    Ok(Some(valid.into_iter().map(attachment).collect()))
}

fn invalid(name: &str, value: &str, rule: &str) -> CniError {
    CniError::new(code::INVALID_CONFIG, format!("{name} {rule}"), format!("{name} is {value:?}"))
}

fn undecodable(details: String) -> CniError {
    CniError::new(code::DECODE_FAILURE, "cannot decode the network configuration on stdin", details)
}

#[cfg(test)]
mod tests;
