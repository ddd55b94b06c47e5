//! CHECK: is everything still as ADD left it (SPEC §4, CHECK)?

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use ipnet::Ipv4Net;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::RouteType;
use serde_json::{Map, Value};

use crate::args::Attachment;
use crate::bridge::is_bridge;
use crate::config::NetConf;
use crate::error::{CniError, code};
use crate::lease::Leases;
use crate::netlink::{self, Netlink, mac_of};
use crate::netns::NetNs;
use crate::{endpoint, masquerade, tc};

/// Compares the kernel and the leases with `prevResult`. What later plugins of a chain added
/// is not looked at; what we made must be there.
pub fn check(conf: &NetConf, attachment: &Attachment, netns: &Path) -> Result<(), CniError> {
    let Some(prev) = &conf.prev_result else {
        let details = "CHECK compares with what ADD answered";
        return Err(CniError::new(code::INVALID_CONFIG, "prevResult is missing", details));
    };
    let netns = NetNs::open(netns)?;
    let (address, mac) = own_address(prev, attachment, &netns)?;
    check_lease(conf, attachment, address)?;
    netlink::block_on(async {
        let node = Netlink::open()?;
        check_node(&node, conf, attachment, address).await?;
        let pod = netns.enter(Netlink::open)??;
        check_pod(&pod, conf, attachment, address, &mac).await
    })?;
    if conf.ip_masq && !masquerade::exists(conf)? {
        return Err(broken(format!("the masquerade rule for {} is gone", conf.podcidr)));
    }
    Ok(())
}

/// Address and MAC that `prevResult` gives to this attachment's interface.
fn own_address(
    prev: &Map<String, Value>,
    attachment: &Attachment,
    netns: &NetNs,
) -> Result<(Ipv4Addr, String), CniError> {
    let list = |key: &str| prev.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let sandbox = netns.path().display().to_string();
    let ours = |interface: &Value| {
        interface["name"] == attachment.ifname.as_str() && interface["sandbox"] == sandbox.as_str()
    };
    let interfaces = list("interfaces");
    let Some(index) = interfaces.iter().position(ours) else {
        return Err(broken(format!("prevResult has no interface {}", attachment.ifname)));
    };
    let ips = list("ips");
    let address =
        ips.iter().find(|ip| ip["interface"] == index).and_then(|ip| ip["address"].as_str());
    let Some(Ok(address)) = address.map(str::parse::<Ipv4Net>) else {
        return Err(broken(format!("prevResult has no IPv4 address on {}", attachment.ifname)));
    };
    let mac = interfaces[index]["mac"].as_str().unwrap_or_default();
    Ok((address.addr(), mac.to_lowercase()))
}

fn check_lease(conf: &NetConf, attachment: &Attachment, address: Ipv4Addr) -> Result<(), CniError> {
    match Leases::lock(conf)?.find(&attachment.host_link())? {
        Some(lease) if lease.address == address => Ok(()),
        Some(lease) => Err(broken(format!("the lease is for {}, not {address}", lease.address))),
        None => Err(broken(format!("there is no lease for {address}"))),
    }
}

async fn check_node(
    node: &Netlink,
    conf: &NetConf,
    attachment: &Attachment,
    address: Ipv4Addr,
) -> Result<()> {
    let bridge = existing(node, &conf.bridge).await?;
    ensure!(is_bridge(&bridge), "{} is no bridge", conf.bridge);
    let host_link = attachment.host_link();
    let host_end = existing(node, &host_link).await?;
    ensure!(
        host_end.attributes.contains(&LinkAttribute::Controller(bridge.header.index)),
        "{host_link} is not on {}",
        conf.bridge
    );
    tc::check(&host_link, &conf.bridge)?;
    endpoint::check(&host_link, address)
}

async fn check_pod(
    pod: &Netlink,
    conf: &NetConf,
    attachment: &Attachment,
    address: Ipv4Addr,
    mac: &str,
) -> Result<()> {
    let eth0 = existing(pod, &attachment.ifname).await?;
    ensure!(mac_of(&eth0) == mac, "{} has MAC {}, not {mac}", attachment.ifname, mac_of(&eth0));
    let local = pod.route(address, None).await?;
    ensure!(
        local.is_some_and(|it| it.kind == RouteType::Local),
        "the pod does not have the address {address}"
    );
    // TEST-NET-1 is nobody's: what leads there is the default route. The one of this interface,
    // which need not be the pod's first; without one the kernel takes all for neighbours.
    let link = eth0.header.index;
    let default = pod.route(Ipv4Addr::new(192, 0, 2, 1), Some(link)).await?;
    ensure!(
        default.is_some_and(|it| it.gateway == Some(conf.gateway()) && it.link == Some(link)),
        "the pod's default route does not lead to {} by {}",
        conf.gateway(),
        attachment.ifname
    );
    Ok(())
}

/// A link that must be there and up.
async fn existing(netlink: &Netlink, name: &str) -> Result<LinkMessage> {
    let Some(link) = netlink.link(name).await? else { bail!("link {name} is gone") };
    ensure!(link.header.flags.contains(LinkFlags::Up), "link {name} is down");
    Ok(link)
}

fn broken(details: String) -> CniError {
    CniError::new(code::PLUGIN_FAILURE, "the attachment is not as ADD left it", details)
}
