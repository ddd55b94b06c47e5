//! Who has which address: one file a lease, and its name says it all.
//!
//! `/run/ebpfcni/<network>/10.13.0.5@veth0123456789a`: address and host link. The name is
//! made and removed in one step by the kernel, so there is no half-written lease; what the
//! file contains is for people, and for telling two containers apart whose hashes collide.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use netlink_packet_route::route::RouteType;
use serde_json::{Value, json};

use crate::args::Attachment;
use crate::config::{LEASE_DIR, NetConf, Network};
use crate::error::{CniError, code};
use crate::netlink::Netlink;
use crate::{lock, private, warn};

/// The address given last, so that a freed one rests before it is given again.
const LAST: &str = "last";

/// One address in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The host end of the veth pair; it exists no longer than the lease.
    pub host_link: String,
}

/// The leases of one network, locked against every other plugin until dropped.
#[derive(Debug)]
pub struct Leases {
    dir: PathBuf,
    /// The kernel unlocks it when it is closed, also by `kill -9`.
    _lock: File,
}

impl Leases {
    /// Makes the directory if need be and takes the lock. Error 11 after 10 s of waiting.
    pub fn lock(network: &Network) -> Result<Self> {
        let dir = network.lease_dir.clone();
        let unusable = || format!("cannot use leaseDir {}", dir.display());
        private::make_dir(&dir).with_context(unusable)?;
        if dir.starts_with(LEASE_DIR) {
            private::make_dir(Path::new(LEASE_DIR)).with_context(unusable)?;
        }
        let path = dir.join("lock");
        let lock = private::file().create(true).open(&path).with_context(unusable)?;
        lock::exclusive(&lock, &path)?;
        Ok(Self { dir, _lock: lock })
    }

    /// The same, and `None` where there can be no directory: nor is there any lease then.
    pub fn lock_if_any(network: &Network) -> Result<Option<Self>> {
        match Self::lock(network) {
            Err(_) if !network.lease_dir.is_dir() => Ok(None),
            leases => leases.map(Some),
        }
    }

    // #region lease
    /// Gives the next free address after the last one given, round robin.
    ///
    /// Error 11 if there is none. An attachment that has a lease already is refused: this is
    /// where a repeated ADD ends, before it can touch what the first one made.
    pub async fn reserve(
        &self,
        node: &Netlink,
        conf: &NetConf,
        attachment: &Attachment,
    ) -> Result<Lease> {
        let host_link = attachment.host_link();
        let taken = self.all()?;
        if let Some(lease) = taken.iter().find(|lease| lease.host_link == host_link) {
            let details = format!(
                "container {} has {} on {} since an earlier ADD; DEL it first",
                attachment.container_id, lease.address, attachment.ifname
            );
            return Err(CniError::new(code::PLUGIN_FAILURE, "already connected", details).into());
        }
        let Some(address) = self.next_free(node, conf, &taken).await? else {
            return Err(CniError::new(code::TRY_AGAIN_LATER, "no free address", full(conf)).into());
        };
        let lease = Lease { address, host_link };
        let content = json!({
            "containerID": attachment.container_id,
            "ifname": attachment.ifname,
            "pod": attachment.pod,
        });
        let path = self.dir.join(lease.file_name());
        let unwritable = || format!("cannot write lease {}", path.display());
        let mut file = private::file().create_new(true).open(&path).with_context(unwritable)?;
        let written = file.write_all(format!("{content}\n").as_bytes()).and_then(|()| {
            let mut last = private::file().create(true).truncate(true).open(self.dir.join(LAST))?;
            last.write_all(address.to_string().as_bytes())
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(error).with_context(unwritable);
        }
        Ok(lease)
    }
    // #endregion lease

    /// Frees an address. To be called when the link is gone, not before; twice is no error.
    pub fn release(&self, lease: &Lease) -> Result<()> {
        let path = self.dir.join(lease.file_name());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove lease {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// All leases.
    pub fn all(&self) -> Result<Vec<Lease>> {
        list(&self.dir)
    }

    /// The lease that goes with a host link.
    pub fn find(&self, host_link: &str) -> Result<Option<Lease>> {
        Ok(self.all()?.into_iter().find(|lease| lease.host_link == host_link))
    }

    /// The first free address after the last one given, coming round at the network's end.
    /// Not to be had: network, gateway (the first) and broadcast address. `None`: all taken.
    pub async fn next_free(
        &self,
        node: &Netlink,
        conf: &NetConf,
        taken: &[Lease],
    ) -> Result<Option<Ipv4Addr>> {
        // #region next_free
        let first = u32::from(conf.gateway()) + 1;
        let count = u32::from(conf.podcidr.broadcast()) - first;
        let text = fs::read_to_string(self.dir.join(LAST)).unwrap_or_default();
        let last = text.parse::<Ipv4Addr>().map_or(0, u32::from);
        let start = if (first..first + count).contains(&last) { last - first + 1 } else { 0 };
        let leased: HashSet<_> = taken.iter().map(|lease| lease.address).collect();
        let candidates = (0..count).map(|i| Ipv4Addr::from(first + (start + i) % count));
        for address in candidates.filter(|address| !leased.contains(address)) {
            if !is_in_use(node, address).await? {
                return Ok(Some(address));
            }
        }
        Ok(None)
        // #endregion next_free
    }
}

impl Lease {
    /// Does the file name another container? A damaged file names nobody: its name decides.
    pub fn is_of_another(&self, network: &Network, attachment: &Attachment) -> bool {
        let content = fs::read(network.lease_dir.join(self.file_name())).unwrap_or_default();
        let owner: Value = serde_json::from_slice(&content).unwrap_or_default();
        let differs =
            |key: &str, ours: &str| owner[key].as_str().is_some_and(|theirs| theirs != ours);
        differs("containerID", &attachment.container_id) || differs("ifname", &attachment.ifname)
    }

    fn file_name(&self) -> String {
        format!("{}@{}", self.address, self.host_link)
    }
}

/// Leases may be lost, by another `name` or with their directory. The kernel forgets nothing: a
/// pod's host end has the pod's address for a second name, and there is a route to what the node
/// has itself, or takes for a broadcast.
async fn is_in_use(node: &Netlink, address: Ipv4Addr) -> Result<bool> {
    if node.link(&address.to_string()).await?.is_some() {
        warn(&format!("{address} is in use without a lease: see ip link show {address}"));
        return Ok(true);
    }
    let route = node.route(address, None).await?;
    Ok(route.is_some_and(|route| matches!(route.kind, RouteType::Local | RouteType::Broadcast)))
}

/// The leases in a directory. Files with other names are none of ours.
pub fn list(dir: &Path) -> Result<Vec<Lease>> {
    let unreadable = || format!("cannot read leaseDir {}", dir.display());
    let mut leases = Vec::new();
    for entry in fs::read_dir(dir).with_context(unreadable)? {
        let name = entry.with_context(unreadable)?.file_name();
        let parts = name.to_str().and_then(|name| name.split_once('@'));
        if let Some((address, host_link)) = parts
            && let Ok(address) = address.parse()
        {
            leases.push(Lease { address, host_link: host_link.to_string() });
        }
    }
    Ok(leases)
}

/// The message when every address is taken.
pub fn full(conf: &NetConf) -> String {
    format!("all addresses of podcidr {} are taken; delete pods or widen it", conf.podcidr)
}
