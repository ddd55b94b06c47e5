//! The bridge: the switch that the pods of this node hang on, and their gateway.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use rtnetlink::{LinkBridge, LinkUnspec};

use crate::args::is_ifname;
use crate::config::{NetConf, Network};
use crate::netlink::{Netlink, RequestError};
use crate::veth::mac_for;
use crate::{gateway, warn};

// #region ensure
/// Makes the bridge if there is none, mends what is missing on one that is there.
/// Idempotent and safe to run twice at once: the kernel decides who comes first.
pub async fn ensure(node: &Netlink, conf: &NetConf) -> Result<LinkMessage> {
    let mut found = node.link(&conf.bridge).await?;
    if found.is_none() {
        create(node, conf).await?;
        found = node.link(&conf.bridge).await?;
    }
    let Some(bridge) = found else {
        bail!("bridge {} vanished while it was being set up", conf.bridge);
    };
    if !is_bridge(&bridge) {
        bail!("bridge is {:?}, but that link is of another kind; choose another name", conf.bridge);
    }
    if !bridge.header.flags.contains(LinkFlags::Up) {
        let up = LinkUnspec::new_with_index(bridge.header.index).up().build();
        node.request(RouteNetlinkMessage::SetLink(up), 0).await.context("cannot set bridge up")?;
    }
    gateway::ensure(node, conf, &bridge).await?;
    enable_forwarding()?;
    Ok(bridge)
}
// #endregion ensure

async fn create(node: &Netlink, conf: &NetConf) -> Result<()> {
    let bridge = LinkBridge::new(&conf.bridge)
        // Without a MAC of its own a bridge takes the lowest of its ports', and changes it
        // when that pod goes: the others' ARP entries for their gateway would be wrong.
        .address(mac_for(conf.gateway()).to_vec())
        // Services: the answer of a pod on this bridge must pass the node's NAT once more.
        .set_info_data(InfoData::Bridge(vec![InfoBridge::NfCallIpTables(true)]))
        .build();
    let created = RouteNetlinkMessage::NewLink(bridge);
    match node.request(created, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(_) | Err(RequestError::Refused(Errno::EEXIST)) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", conf.bridge)),
    }
    if !Path::new("/proc/sys/net/bridge").exists() {
        warn(
            "the kernel module br_netfilter is not loaded: pods will not reach Services whose pods are on this node; run: modprobe br_netfilter",
        );
    }
    Ok(())
}

/// Are there pods whose ends are up? The bridge has carrier as long as one of its ports has
/// (`br_port_state_selection`).
pub async fn has_pods(node: &Netlink, network: &Network) -> Result<bool> {
    if !is_ifname(&network.bridge) {
        return Ok(false);
    }
    let bridge = node.link(&network.bridge).await?;
    Ok(bridge.is_some_and(|bridge| bridge.header.flags.contains(LinkFlags::LowerUp)))
}

/// Is it a bridge at all?
pub fn is_bridge(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Bridge)),
        _ => false,
    })
}

/// The node routes for its pods. Somebody may have turned it off again.
pub fn enable_forwarding() -> Result<()> {
    const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
    let forwards =
        fs::read_to_string(IP_FORWARD).with_context(|| format!("cannot read {IP_FORWARD}"))?;
    if forwards.trim() != "1" {
        fs::write(IP_FORWARD, "1").context(
            "pods do not reach the outside, and net.ipv4.ip_forward cannot be set; run: \
             sysctl -w net.ipv4.ip_forward=1",
        )?;
    }
    Ok(())
}
