//! ADD: lease → pair → address → eBPF programs → agent → pod's end up → route → bridge forwards.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use netlink_packet_route::link::LinkMessage;
use nix::errno::Errno;
use serde_json::Value;

use crate::args::Attachment;
use crate::config::NetConf;
use crate::del::release;
use crate::error::CniError;
use crate::lease::{Lease, Leases};
use crate::netlink::{self, Netlink, RequestError, mac_of, mtu_of};
use crate::netns::NetNs;
use crate::result::{Interface, success};
use crate::{bridge, endpoint, forward, masquerade, tc, veth, warn};

/// Connects the pod and returns the result to print. After an error the pod's part is undone.
pub fn add(conf: &NetConf, attachment: &Attachment, netns: &Path) -> Result<Value, CniError> {
    let netns = NetNs::open(netns)?;
    forward::warn_if_closed(conf);
    let added = netlink::block_on(async {
        let (node, pod) = (Netlink::open()?, netns.enter(Netlink::open)??);
        let lease = reserve(&node, conf, attachment).await?;
        let mut add = Add { node, pod, netns, conf, attachment, lease, may_have_link: false };
        let added = add.connect().await;
        if added.is_err() {
            add.undo().await;
        }
        added
    });
    Ok(added?)
}

async fn reserve(node: &Netlink, conf: &NetConf, attachment: &Attachment) -> Result<Lease> {
    let leases = Leases::lock(conf)?;
    let lease = leases.reserve(node, conf, attachment).await?;
    if let Err(error) = masquerade::ensure(conf) {
        leases.release(&lease)?;
        return Err(error);
    }
    Ok(lease)
}

/// One ADD: what it works with, and how far it has come.
struct Add<'a> {
    node: Netlink,
    pod: Netlink,
    netns: NetNs,
    conf: &'a NetConf,
    attachment: &'a Attachment,
    lease: Lease,
    may_have_link: bool,
}

impl Add<'_> {
    /// Everything between the lease and the result, in the order that lets nothing pass too early.
    async fn connect(&mut self) -> Result<Value> {
        // #region add
        let bridge = bridge::ensure(&self.node, self.conf).await?;
        let eth0 = self.make_pair(&bridge).await?;
        let Self { node, pod, conf, attachment, lease, .. } = self;
        let index = eth0.header.index;
        veth::claim(node, &lease.host_link, lease.address).await?;
        veth::configure_host_end(node, attachment).await?;
        veth::add_address(pod, conf, index, lease.address).await?;
        tc::attach(&lease.host_link, &conf.bridge)?;
        endpoint::publish(attachment, lease)?;
        veth::set_up(pod, index).await?;
        let metric = veth::add_default_route(pod, index, conf.gateway()).await?;
        veth::wait_until_forwarding(node, &lease.host_link).await?;
        // #endregion add
        Ok(self.result(&bridge, &eth0, metric))
    }

    /// Returns the pod's end.
    async fn make_pair(&mut self, bridge: &LinkMessage) -> Result<LinkMessage> {
        let Self { node, pod, netns, conf, attachment, lease, .. } = self;
        let created = veth::create(node, conf, attachment, bridge, netns, lease.address).await;
        // Only the kernel's no proves that there is no link of ours.
        self.may_have_link = !matches!(created, Err(RequestError::Refused(_)));
        match created {
            Ok(()) => pod.link(&attachment.ifname).await?.with_context(|| {
                format!("{} vanished from the pod while it was being set up", attachment.ifname)
            }),
            Err(error) => Err(self.which_end_exists(error).await),
        }
    }

    /// The kernel's EEXIST does not say which end of the pair it means.
    async fn which_end_exists(&self, error: RequestError) -> anyhow::Error {
        let (host_link, ifname) = (&self.lease.host_link, &self.attachment.ifname);
        let exists = matches!(error, RequestError::Refused(Errno::EEXIST));
        let error = anyhow!(error);
        if exists && matches!(self.pod.link(ifname).await, Ok(Some(_))) {
            return error.context(format!("CNI_IFNAME {ifname} exists in the pod already"));
        }
        if exists && matches!(self.node.link(host_link).await, Ok(Some(_))) {
            return error
                .context(format!("host link {host_link} exists without a lease; DEL it first"));
        }
        error.context(format!("cannot make the veth pair {host_link} and {ifname}"))
    }

    fn result(&self, bridge: &LinkMessage, eth0: &LinkMessage, metric: Option<u32>) -> Value {
        let Self { netns, conf, attachment, lease, .. } = self;
        let on_node =
            |name: &str, mac, mtu| Interface { name: name.into(), mac, mtu, sandbox: None };
        let host_mac = netlink::mac(&veth::host_mac_for(lease.address));
        let interfaces = [
            on_node(&conf.bridge, mac_of(bridge), mtu_of(bridge)),
            on_node(&lease.host_link, host_mac, mtu_of(eth0)),
            Interface {
                sandbox: Some(netns.path().display().to_string()),
                ..on_node(&attachment.ifname, mac_of(eth0), mtu_of(eth0))
            },
        ];
        success(conf, &interfaces, lease.address, metric)
    }

    /// Back to before, on a socket of its own: the first one may be what broke.
    async fn undo(&self) {
        let undone = async {
            let node = Netlink::open()?;
            if self.may_have_link {
                endpoint::withdraw(&self.lease)?;
                veth::delete(&node, &self.lease.host_link).await?;
            }
            release(&node, self.conf, Some(&self.lease)).await.context("cannot free its address")
        };
        if let Err(error) = undone.await {
            // The lease is still there: the DEL that follows a failed ADD finds link and address.
            warn(&format!("could not undo the ADD, DEL will: {error:#}"));
        }
    }
}
