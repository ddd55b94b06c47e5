//! GC: what belongs to no valid attachment goes (SPEC §4, GC).

use std::collections::HashSet;

use anyhow::anyhow;

use crate::args::Attachment;
use crate::config::NetConf;
use crate::del::release;
use crate::error::{CniError, code};
use crate::lease::Leases;
use crate::netlink::{self, Netlink};
use crate::{endpoint, veth};

/// Removes links and leases of all attachments but the valid ones. Goes on after an error
/// and reports all of them. The runtime runs no ADD or DEL meanwhile.
pub fn gc(conf: &NetConf) -> Result<(), CniError> {
    let Some(valid) = &conf.valid_attachments else {
        let details = "without the list everything would go; to mean that, say []";
        return Err(CniError::new(
            code::INVALID_CONFIG,
            "cni.dev/valid-attachments is missing",
            details,
        ));
    };
    let valid: HashSet<String> = valid.iter().map(Attachment::host_link).collect();
    let leases = Leases::lock(conf)?.all()?;
    let stale = leases.iter().filter(|lease| !valid.contains(&lease.host_link));
    let errors = netlink::block_on(async {
        let node = Netlink::open()?;
        let mut errors = Vec::new();
        for lease in stale {
            let removed = async {
                let withdrawn = endpoint::withdraw(lease);
                veth::delete(&node, &lease.host_link).await?;
                withdrawn?;
                release(&node, conf, Some(lease)).await
            };
            if let Err(error) = removed.await {
                errors.push(format!("{}: {error:#}", lease.address));
            }
        }
        Ok(errors)
    })?;
    if errors.is_empty() {
        return Ok(());
    }
    Err(anyhow!(errors.join("; ")).context("could not remove everything stale").into())
}
