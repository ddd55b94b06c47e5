//! STATUS: could an ADD be served now (SPEC §4, STATUS)?

use anyhow::bail;

use crate::bridge::is_bridge;
use crate::client;
use crate::config::NetConf;
use crate::error::{CniError, code};
use crate::forward;
use crate::lease::{self, Leases};
use crate::netlink::{self, Netlink};

/// Error 50 if every address is taken, the bridge's name belongs to some other link, or the
/// agent is not there.
pub fn status(conf: &NetConf) -> Result<(), CniError> {
    let ready = netlink::block_on(async {
        let (node, leases) = (Netlink::open()?, Leases::lock(conf)?);
        if leases.next_free(&node, conf, &leases.all()?).await?.is_none() {
            bail!(lease::full(conf));
        }
        drop(leases);
        client::healthz()?;
        match node.link(&conf.bridge).await? {
            Some(link) if !is_bridge(&link) => {
                bail!("bridge is {:?}, but that link is of another kind", conf.bridge)
            }
            _ => Ok(()),
        }
    });
    // Other rules may let the pods through, so this is no error.
    forward::warn_if_closed(conf);
    ready.map_err(|error| {
        CniError::new(code::NOT_AVAILABLE, "cannot serve ADD", format!("{error:#}"))
    })
}
