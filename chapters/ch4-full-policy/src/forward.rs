//! Does the node forward what the pods send? Docker, ufw and others give the FORWARD chain the
//! policy DROP: then the node drops what goes from pod to outside, and with `br_netfilter` also
//! what the bridge carries from pod to pod. Other rules may let it through, so we only say so.

use anyhow::Result;
use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{ChainAttribute, ChainMessage, Hook, InetHookNumber};

use crate::config::Network;
use crate::{iptables, nftables, warn};

/// `NF_DROP`: a chain's policy, in nftables as in iptables.
const DROP: u32 = 0;

/// Tells of each chain that drops what no rule accepts.
pub fn warn_if_closed(network: &Network) {
    let chains = match closed() {
        Ok(chains) => chains,
        Err(error) => return warn(&format!("cannot look at the FORWARD chains: {error:#}")),
    };
    for chain in chains {
        let bridge = &network.bridge;
        warn(&format!(
            "{chain} has policy DROP: unless its rules accept what comes from and goes to {bridge}, the pods reach neither each other nor the outside"
        ));
    }
}

fn closed() -> Result<Vec<String>> {
    let mut closed: Vec<_> = nftables::chains()?.iter().filter_map(name_if_closed).collect();
    if iptables::forward_policy()? == Some(DROP) {
        closed.push("iptables-legacy chain FORWARD".into());
    }
    Ok(closed)
}

fn name_if_closed((family, chain): &(Family, ChainMessage)) -> Option<String> {
    let family = match family {
        Family::IPv4 => "ip",
        Family::Inet => "inet",
        Family::Bridge => "bridge",
        _ => return None,
    };
    let forward = Hook::Number(InetHookNumber::Forward.into());
    let (mut hooked, mut drops, mut table, mut name) = (false, false, "", "");
    for attribute in &chain.attributes {
        match attribute {
            ChainAttribute::Hook(hook) => hooked = hook.contains(&forward),
            ChainAttribute::Policy(policy) => drops = *policy == DROP,
            ChainAttribute::Table(text) => table = text,
            ChainAttribute::Name(text) => name = text,
            _ => {}
        }
    }
    (hooked && drops).then(|| format!("nftables chain {family} {table} {name}"))
}
