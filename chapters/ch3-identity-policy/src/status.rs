//! STATUS: could an ADD be served now (SPEC §4, STATUS)?

use anyhow::{Result, bail};

use crate::bridge::is_bridge;
use crate::client;
use crate::config::NetConf;
use crate::error::{CniError, code};
use crate::lease::{self, Leases};
use crate::netlink::{self, Netlink};

/// Error 50 if every address is taken, the bridge's name belongs to some other link, or the
/// agent is not there.
pub fn status(conf: &NetConf) -> Result<(), CniError> {
    let ready = Leases::lock(conf).and_then(|leases| {
        if leases.next_free(conf, &leases.all()?).is_none() {
            bail!(lease::full(conf));
        }
        client::healthz()?;
        netlink::block_on(async {
            match Netlink::open()?.link(&conf.bridge).await? {
                Some(link) if !is_bridge(&link) => {
                    bail!("bridge is {:?}, but that link is of another kind", conf.bridge)
                }
                _ => Ok(()),
            }
        })
    });
    ready.map_err(|error| {
        CniError::new(code::NOT_AVAILABLE, "cannot serve ADD", format!("{error:#}"))
    })
}
