//! DEL: the endpoint goes, then the link, then the lease. Any of it may be gone already (SPEC §4, DEL).

use anyhow::Result;

use crate::args::Attachment;
use crate::config::Network;
use crate::error::CniError;
use crate::lease::{Lease, Leases};
use crate::netlink::{self, Netlink};
use crate::{bridge, endpoint, masquerade, networks, veth};

// #region del
/// Disconnects the pod. The container and interface are enough: the host end's name follows
/// from them and takes the pod's end along, so the pod's namespace may be gone. `network` is
/// `None` if its name cannot be: ADD refuses it, so there is no lease either.
pub fn del(network: Option<&Network>, attachment: &Attachment) -> Result<(), CniError> {
    let host_link = attachment.host_link();
    let delete = async || {
        let node = Netlink::open()?;
        veth::delete(&node, &host_link).await?;
        Ok(node)
    };
    let Some(network) = network else { return Ok(netlink::block_on(delete()).map(drop)?) };
    // Its `name` may have been another when the pod came.
    let owner = networks::owner(network, &host_link)?;
    let leases = Leases::lock_if_any(&owner)?;
    let lease = leases.map(|leases| leases.find(&host_link)).transpose()?.flatten();
    if lease.as_ref().is_some_and(|lease| lease.is_of_another(&owner, attachment)) {
        return Ok(());
    }
    if let Some(lease) = &lease {
        endpoint::withdraw(lease)?;
    }
    Ok(netlink::block_on(async {
        let node = delete().await?;
        release(&node, &owner, lease.as_ref()).await?;
        if owner.name != network.name {
            release(&node, network, None).await?;
        }
        Ok(())
    })?)
}
// #endregion del

/// Frees the lease; with the last pod goes what the network needs only while it has pods. A pod
/// whose lease was lost is one, too.
pub async fn release(node: &Netlink, network: &Network, lease: Option<&Lease>) -> Result<()> {
    let Some(leases) = Leases::lock_if_any(network)? else { return Ok(()) };
    if let Some(lease) = lease {
        leases.release(lease)?;
    }
    if leases.all()?.is_empty() && !bridge::has_pods(node, network).await? {
        masquerade::remove(network)?;
    }
    Ok(())
}
