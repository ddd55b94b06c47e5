//! The veth pair: a cable with one end on the bridge and the other in the pod.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use rtnetlink::{AddressMessageBuilder, LinkUnspec, RouteMessageBuilder};

use crate::args::Attachment;
use crate::config::NetConf;
use crate::error::{CniError, code};
use crate::netlink::{Netlink, RequestError};
use crate::netns::NetNs;
use crate::warn;

/// How long the bridge may take to forward; a spanning tree takes 30 s, and nobody waits for that.
const FORWARDING: Duration = Duration::from_secs(2);

/// The MAC for an address: `0a:58` (locally administered) and the four bytes of IPv4.
///
/// The talk draws it at random. Ours follows the address, so that a neighbour who knew the
/// address's last owner already knows its next one's MAC.
pub fn mac_for(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// The MAC of the host end. Given by us, since udev replaces those that the kernel drew.
pub fn host_mac_for(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x59, a, b, c, d]
}

// #region veth
/// Makes the pair in one request: host end on the bridge and up, pod end born inside the pod
/// under its final name and MAC. Moving it there afterwards would hold the kernel's global
/// RTNL lock for some 36 ms.
pub async fn create(
    node: &Netlink,
    conf: &NetConf,
    attachment: &Attachment,
    bridge: &LinkMessage,
    netns: &NetNs,
    address: Ipv4Addr,
) -> Result<(), RequestError> {
    // #region pair
    let mut pod_end = LinkMessage::default();
    pod_end.attributes = vec![
        LinkAttribute::IfName(attachment.ifname.clone()),
        LinkAttribute::Address(mac_for(address).to_vec()),
        LinkAttribute::NetNsFd(netns.fd()),
    ];
    let mut host_end = LinkUnspec::new_with_name(&attachment.host_link())
        .up()
        .address(host_mac_for(address).to_vec())
        .build();
    if let Some(mtu) = conf.mtu {
        pod_end.attributes.push(LinkAttribute::Mtu(mtu));
        host_end.attributes.push(LinkAttribute::Mtu(mtu));
    }
    host_end.attributes.push(LinkAttribute::Controller(bridge.header.index));
    host_end.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(pod_end))),
    ]));
    let created = RouteNetlinkMessage::NewLink(host_end);
    node.request(created, NLM_F_CREATE | NLM_F_EXCL).await.map(drop)
    // #endregion pair
}
// #endregion veth

/// Gives the host end the pod's address for a second name: `ip link show 10.13.0.5` finds it, and
/// the kernel has no two links of one name, whatever became of the leases. Error 11 if another
/// link has it: the runtime tries again, and gets the next address.
pub async fn claim(node: &Netlink, host_link: &str, address: Ipv4Addr) -> Result<()> {
    match node.add_name(host_link, &address.to_string()).await {
        Err(RequestError::Refused(Errno::EEXIST)) => {
            let details = format!("{address} is another pod's, though there is no lease");
            Err(CniError::new(code::TRY_AGAIN_LATER, "the address is in use", details).into())
        }
        claimed => claimed.with_context(|| format!("cannot name {host_link} {address}")),
    }
}

/// What the kernel takes for the host end only once it exists.
pub async fn configure_host_end(node: &Netlink, attachment: &Attachment) -> Result<()> {
    let mut link = LinkUnspec::new_with_name(&attachment.host_link()).build();
    if let Some(pod) = &attachment.pod {
        // IFALIASZ: the kernel takes 255 bytes, the last of which is netlink's 0.
        let end = (0..=254).rev().find(|end| pod.is_char_boundary(*end)).unwrap_or_default();
        link.attributes.push(LinkAttribute::IfAlias(pod.get(..end).unwrap_or(pod).into()));
    }
    // Hairpin: a frame may leave by the port it came from, when a pod calls itself by its Service.
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
    ]));
    node.change(RouteNetlinkMessage::NewLink, link).await.context("cannot configure the host end")
}

// #region pod
/// Gives the pod's end its address. It is still down: nothing passes yet.
pub async fn add_address(
    pod: &Netlink,
    conf: &NetConf,
    index: u32,
    address: Ipv4Addr,
) -> Result<()> {
    let message = AddressMessageBuilder::<Ipv4Addr>::new()
        .index(index)
        .address(address, conf.podcidr.prefix_len())
        .build();
    let added = RouteNetlinkMessage::NewAddress(message);
    pod.request(added, NLM_F_CREATE | NLM_F_EXCL)
        .await
        .with_context(|| format!("cannot give the pod the address {address}"))?;
    Ok(())
}

/// From here on packets flow.
pub async fn set_up(pod: &Netlink, index: u32) -> Result<()> {
    let link = LinkUnspec::new_with_index(index).up().build();
    pod.change(RouteNetlinkMessage::SetLink, link).await.context("cannot set the pod's end up")
}
// #endregion pod

/// All that is not in the pod's own network goes to the gateway. Needs the link up.
///
/// A pod's first interface is the one that leads out: a later one's route gets a metric, which
/// makes it the next choice should the first go. Returns the metric.
pub async fn add_default_route(
    pod: &Netlink,
    index: u32,
    gateway: Ipv4Addr,
) -> Result<Option<u32>> {
    let by = || RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index).gateway(gateway);
    let add = async |route| {
        pod.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL).await
    };
    // The index is unlike that of any other interface of the pod.
    let (added, metric) = match add(by().build()).await {
        Err(RequestError::Refused(Errno::EEXIST)) => {
            (add(by().priority(index).build()).await, Some(index))
        }
        added => (added, None),
    };
    added.with_context(|| format!("cannot make the pod's default route by {gateway}"))?;
    Ok(metric)
}

/// Waits until the bridge forwards what the pod sends. The kernel sees to that some time after the
/// pod's end came up (`linkwatch`), and until then drops the pod's first ARP: its first connection
/// would take a second.
pub async fn wait_until_forwarding(node: &Netlink, host_link: &str) -> Result<()> {
    let start = Instant::now();
    while let Some(link) = node.link(host_link).await? {
        if forwards(&link) {
            return Ok(());
        }
        if start.elapsed() > FORWARDING {
            warn(&format!("the bridge does not forward from {host_link} yet"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("{host_link} vanished while it was being set up")
}

fn forwards(link: &LinkMessage) -> bool {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos.flatten().any(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
            port.contains(&InfoBridgePort::State(BridgePortState::Forwarding))
        }
        _ => false,
    })
}

/// Deletes the pair by its host end; the kernel takes the other end along.
/// That there is none is no error.
pub async fn delete(node: &Netlink, host_link: &str) -> Result<()> {
    let link = LinkUnspec::new_with_name(host_link).build();
    match node.request(RouteNetlinkMessage::DelLink(link), 0).await {
        Ok(_) | Err(RequestError::Refused(Errno::ENODEV)) => Ok(()),
        Err(error) => Err(anyhow!(error).context(format!("cannot delete link {host_link}"))),
    }
}
