//! The plugin's part in endpoints: it reports that there is one, and that it goes.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nametoindex;

use crate::api::{NewEndpoint, PodRef};
use crate::args::Attachment;
use crate::lease::Lease;
use crate::{client, maps, veth, warn};

// #region publish
/// ADD: asks the agent and waits until the maps are ready. The pod's end is still down: it is
/// never unprotected, and when it comes up all that may reach it does.
pub fn publish(attachment: &Attachment, lease: &Lease) -> Result<()> {
    let link = lease.host_link.as_str();
    let pod = attachment.pod.as_deref().and_then(|pod| pod.split_once('/'));
    client::put(
        link,
        &NewEndpoint {
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
            pod: pod.map(|(namespace, name)| PodRef {
                namespace: namespace.into(),
                name: name.into(),
                uid: attachment.uid.clone(),
            }),
            address: lease.address,
            mac: veth::mac_for(lease.address),
            ifindex: if_nametoindex(link).with_context(|| format!("link {link} is gone"))?,
        },
    )
}
// #endregion publish

/// DEL: the address belongs to nobody any more, before somebody else may get it. Without an
/// agent, which finds out when it is back, we take the entry out of the map ourselves.
pub fn withdraw(lease: &Lease) -> Result<()> {
    if let Err(error) = client::delete(&lease.host_link) {
        warn(&format!("ebpf-agent was not told, it will see for itself: {error:#}"));
    }
    maps::remove_endpoint(lease.address, maps::generation(&lease.host_link))
}

/// CHECK: does the agent know the endpoint, and does the kernel?
pub fn check(host_link: &str, address: Ipv4Addr) -> Result<()> {
    let known = client::endpoint(host_link)?;
    ensure!(known.new.address == address, "ebpf-agent has {} for {host_link}", known.new.address);
    let entry = maps::endpoint(address)?;
    let entry = entry.with_context(|| format!("endpoint_map has no {address}"))?;
    let index = if_nametoindex(host_link).with_context(|| format!("link {host_link} is gone"))?;
    ensure!(
        (entry.ifindex, entry.mac) == (index, veth::mac_for(address)),
        "endpoint_map has another veth or MAC for {address}"
    );
    Ok(())
}
