//! The bridge's address, which is the pods' gateway: what the configuration says, and only that.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, bail};
use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::LinkMessage;
use nix::errno::Errno;
use rtnetlink::AddressMessageBuilder;

use crate::config::NetConf;
use crate::netlink::{Netlink, RequestError, mac_of};
use crate::{networks, warn};

/// Gives the bridge its address, and takes away those of an older configuration: with `/29` still
/// there, the bridge would take 10.13.0.7 for a broadcast, and no pod of a `/24` could have it.
pub async fn ensure(node: &Netlink, conf: &NetConf, bridge: &LinkMessage) -> Result<()> {
    let found = node.addresses(bridge.header.index).await?;
    let (ours, others): (Vec<_>, Vec<_>) =
        found.iter().filter_map(|it| Some((network_of(it)?, it))).partition(|(net, _)| {
            *net == Ipv4Net::new_assert(conf.gateway(), conf.podcidr.prefix_len())
        });
    if ours.is_empty() {
        claim(node, conf, bridge).await?;
        add(node, conf, bridge).await?;
    }
    for (net, address) in others {
        if !is_stale(node, conf, bridge, net).await? {
            continue;
        }
        warn(&format!("{net} goes from {}: the configuration does not say it", conf.bridge));
        // The bridge's MAC may be made of it, and older pods broadcast to the end of its network:
        // no pod gets either as long as this bridge is there.
        for name in [net.addr(), net.broadcast()].map(|address| address.to_string()) {
            match node.add_name(&conf.bridge, &name).await {
                Ok(()) | Err(RequestError::Refused(Errno::EEXIST)) => {}
                Err(error) => return Err(error).context("cannot give the bridge a second name"),
            }
        }
        match node.request(RouteNetlinkMessage::DelAddress(address.clone()), 0).await {
            // Gone with another one, whose secondary it was.
            Ok(_) | Err(RequestError::Refused(Errno::EADDRNOTAVAIL)) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot take {net} away")),
        }
        // Ours may have been its secondary, too.
        add(node, conf, bridge).await?;
    }
    Ok(())
}

/// The address is the bridge's second name from now on, and stays it: no pod gets it, nor the MAC
/// that was made of it. Nor does the bridge get an address that a pod has.
async fn claim(node: &Netlink, conf: &NetConf, bridge: &LinkMessage) -> Result<()> {
    let gateway = conf.gateway().to_string();
    match node.add_name(&conf.bridge, &gateway).await {
        Ok(()) => return Ok(()),
        Err(RequestError::Refused(Errno::EEXIST)) => {}
        Err(error) => return Err(error).context("cannot give the bridge a second name"),
    }
    let owner = node.link(&gateway).await?;
    if owner.is_some_and(|owner| owner.header.index != bridge.header.index) {
        bail!(
            "podcidr {} has the gateway {gateway}, and another link has that address (see: ip link show {gateway}); delete its pod or bridge, or choose another podcidr",
            conf.podcidr
        );
    }
    Ok(())
}

async fn add(node: &Netlink, conf: &NetConf, bridge: &LinkMessage) -> Result<()> {
    let gateway = AddressMessageBuilder::<Ipv4Addr>::new()
        .index(bridge.header.index)
        .address(conf.gateway(), conf.podcidr.prefix_len())
        .build();
    let added = RouteNetlinkMessage::NewAddress(gateway);
    match node.request(added, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(_) | Err(RequestError::Refused(Errno::EEXIST)) => Ok(()),
        Err(error) => Err(error).context("cannot give the bridge the gateway's address"),
    }
}

/// Does an address contradict the configuration? One of another network of ours that has pods on
/// this bridge does not, nor does what somebody gave to a bridge that is not of our making.
async fn is_stale(
    node: &Netlink,
    conf: &NetConf,
    bridge: &LinkMessage,
    net: Ipv4Net,
) -> Result<bool> {
    if net.contains(&conf.gateway()) || conf.podcidr.contains(&net.addr()) {
        return Ok(true);
    }
    if !mac_of(bridge).starts_with("0a:58:") {
        return Ok(false);
    }
    for other in networks::leases_of_others(conf)? {
        if net.contains(&other.address) && node.link(&other.host_link).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn network_of(address: &AddressMessage) -> Option<Ipv4Net> {
    let local = address.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(local)) => Some(*local),
        _ => None,
    });
    Ipv4Net::new(local?, address.header.prefix_len).ok()
}
