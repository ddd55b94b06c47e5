//! What ADD prints (SPEC §5, "Success"), in the format of the requested version.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::config::NetConf;
use crate::version::SpecVersion;

/// One interface of the result.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Its name where it is.
    pub name: String,
    /// Six bytes with colons.
    pub mac: String,
    /// In bytes; versions before 1.1.0 do not have it.
    pub mtu: u32,
    /// The pod's namespace as in `CNI_NETNS`; `None` on the node's side.
    pub sandbox: Option<String>,
}

/// The success result: `interfaces`, the last of which is the pod's and carries `address`, and the
/// default route with its `metric`, if it is not the pod's first.
///
/// If another plugin ran before us (`prevResult`), ours is appended to its result (SPEC §4, ADD).
pub fn success(
    conf: &NetConf,
    interfaces: &[Interface],
    address: Ipv4Addr,
    metric: Option<u32>,
) -> Value {
    let mut result = conf.prev_result.clone().unwrap_or_default();
    let mut list = |key: &str| match result.remove(key) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let (mut all, mut ips, mut routes) = (list("interfaces"), list("ips"), list("routes"));

    all.extend(interfaces.iter().map(|interface| interface.to_json(conf.version)));
    // #region ip
    let mut ip = json!({
        "address": format!("{address}/{}", conf.podcidr.prefix_len()),
        "gateway": conf.gateway(),
        "interface": all.len() - 1,
    });
    if conf.version < SpecVersion::V1_0_0 {
        ip["version"] = json!("4");
    }
    ips.push(ip);
    // #endregion ip
    let mut route = json!({ "dst": "0.0.0.0/0", "gw": conf.gateway() });
    if let Some(metric) = metric.filter(|_| conf.version >= SpecVersion::V1_1_0) {
        route["priority"] = json!(metric);
    }
    routes.push(route);

    result.insert("cniVersion".into(), json!(conf.version.as_str()));
    result.insert("interfaces".into(), Value::Array(all));
    result.insert("ips".into(), Value::Array(ips));
    result.insert("routes".into(), Value::Array(routes));
    Value::Object(result)
}

impl Interface {
    fn to_json(&self, version: SpecVersion) -> Value {
        let mut interface = json!({ "name": self.name, "mac": self.mac });
        if version >= SpecVersion::V1_1_0 {
            interface["mtu"] = json!(self.mtu);
        }
        if let Some(sandbox) = &self.sandbox {
            interface["sandbox"] = json!(sandbox);
        }
        interface
    }
}
