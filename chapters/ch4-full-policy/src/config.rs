//! The network configuration on stdin (SPEC §1), checked field by field.

use std::io::Read;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::args::{Attachment, IFNAME_RULE, is_identifier, is_ifname};
use crate::error::{CniError, code};
use crate::spelling;
use crate::version::SpecVersion;

/// A configuration with prevResult for one pod is a few KiB; nobody needs more than this.
const LONGEST_INPUT: u64 = 1 << 20;
/// The kernel takes 255 bytes for the nftables table `ebpfcni-<name>`, as for a directory.
const LONGEST_NAME: usize = 255 - "ebpfcni-".len();
/// `PATH_MAX` is 4096 with the final 0; a lease's file must fit as well.
const LONGEST_LEASE_DIR: usize = 4095 - "/255.255.255.255@veth0123456789a".len();

/// Where the networks' leases are if `leaseDir` does not say otherwise.
pub const LEASE_DIR: &str = "/run/ebpfcni";

/// Which network, and where its leases are: all that DEL needs to know.
#[derive(Debug, Clone)]
pub struct Network {
    /// `name` of the network; a directory and an nftables table are named after it.
    pub name: String,
    /// `bridge`, by default `bridge0` as in the talk.
    pub bridge: String,
    /// `leaseDir` and `name`: must not survive a reboot, since the pods do not.
    pub lease_dir: PathBuf,
}

/// A checked configuration: what stands here can be used as it is.
#[derive(Debug, Clone)]
pub struct NetConf {
    /// `cniVersion`.
    pub version: SpecVersion,
    network: Network,
    /// `podcidr`, /8 to /29, without host bits: the pods' addresses come from here.
    pub podcidr: Ipv4Net,
    /// `mtu` of both ends of each veth pair; the kernel's default if absent.
    pub mtu: Option<u32>,
    /// `ipMasq`: hide the pods behind the node's address when they talk to the outside.
    pub ip_masq: bool,
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

/// `cniVersion`, which says what the rest may be.
pub fn version(conf: &Value) -> Result<SpecVersion, CniError> {
    SpecVersion::parse(field::<String>(conf, "cniVersion")?.as_deref())
}

impl Network {
    /// Reads `name` and `leaseDir`; whether `bridge` can be is ADD's business.
    pub fn parse(conf: &Value) -> Result<Self, CniError> {
        let name: String = field(conf, "name")?.unwrap_or_default();
        if !is_identifier(&name) {
            let rule = "must start with a letter or digit, then letters, digits, '_', '.', '-'";
            return Err(invalid("name", &name, rule));
        }
        if name.len() > LONGEST_NAME {
            return Err(invalid("name", &name, &format!("must be at most {LONGEST_NAME} long")));
        }
        let lease_dir = field(conf, "leaseDir")?.unwrap_or(PathBuf::from(LEASE_DIR));
        if !lease_dir.is_absolute() {
            return Err(invalid("leaseDir", &lease_dir.to_string_lossy(), "must be absolute"));
        }
        let bridge = conf["bridge"].as_str().unwrap_or("bridge0").to_string();
        let network = Self { lease_dir: lease_dir.join(&name), name, bridge };
        if network.lease_dir.as_os_str().len() > LONGEST_LEASE_DIR {
            let rule = format!("must, with name, be at most {LONGEST_LEASE_DIR} bytes long");
            return Err(invalid("leaseDir", &network.lease_dir.to_string_lossy(), &rule));
        }
        Ok(network)
    }
}

impl NetConf {
    /// Checks a decoded configuration. Unknown keys are ignored with a warning, `null` is as good
    /// as absent.
    pub fn parse(conf: Value) -> Result<Self, CniError> {
        spelling::warn_of_unknown_keys(&conf);
        let version = version(&conf)?;
        let network = Network::parse(&conf)?;
        let Some(podcidr) = field::<String>(&conf, "podcidr")? else {
            return Err(invalid("podcidr", "", "is missing; say for instance \"10.13.0.0/24\""));
        };
        let bridge: Option<String> = field(&conf, "bridge")?;
        if let Some(bridge) = bridge.filter(|bridge| !is_ifname(bridge)) {
            return Err(invalid("bridge", &bridge, IFNAME_RULE));
        }
        let mtu: Option<u32> = field(&conf, "mtu")?;
        if let Some(mtu) = mtu.filter(|mtu| !(68..=65535).contains(mtu)) {
            return Err(invalid("mtu", &mtu.to_string(), "must be 68 to 65535"));
        }
        Ok(Self {
            version,
            network,
            podcidr: parse_podcidr(&podcidr)?,
            mtu,
            ip_masq: field(&conf, "ipMasq")?.unwrap_or(true),
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

/// A configuration is its network, and more.
impl Deref for NetConf {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
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
