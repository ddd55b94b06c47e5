//! DEL: the endpoint goes, then the link, then the lease. Any of it may be gone already (SPEC §4, DEL).

use anyhow::Result;

use crate::args::Attachment;
use crate::config::NetConf;
use crate::error::CniError;
use crate::lease::{Lease, Leases};
use crate::netlink::{self, Netlink};
use crate::{endpoint, masquerade, veth};

// #region del
/// Disconnects the pod. The container and interface are enough: the host end's name follows
/// from them and takes the pod's end along, so the pod's namespace may be gone.
pub fn del(conf: &NetConf, attachment: &Attachment) -> Result<(), CniError> {
    let host_link = attachment.host_link();
    let lease = Leases::lock(conf)?.find(&host_link)?;
    if lease.as_ref().is_some_and(|lease| lease.is_of_another(conf, attachment)) {
        return Ok(());
    }
    if let Some(lease) = &lease {
        endpoint::withdraw(lease)?;
    }
    netlink::block_on(async { veth::delete(&Netlink::open()?, &host_link).await })?;
    Ok(release(conf, lease.as_ref())?)
}
// #endregion del

/// Frees the lease; with the last one goes what the network needs only while it has pods.
pub fn release(conf: &NetConf, lease: Option<&Lease>) -> Result<()> {
    let leases = Leases::lock(conf)?;
    if let Some(lease) = lease {
        leases.release(lease)?;
    }
    if leases.all()?.is_empty() {
        masquerade::remove(conf)?;
    }
    Ok(())
}
