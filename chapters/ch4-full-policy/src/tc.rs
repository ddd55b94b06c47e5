//! The eBPF programs: loaded once for the node, attached to every pod's veth and to the bridge by TC.
//!
//! A filter is a part of its link: it goes when the link goes, so DEL and GC have nothing to
//! do. (TCX, which is newer, would need a pinned link for each pod, and somebody to unpin it.)

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::{ProgramHandle, TC_EGRESS, TC_INGRESS, TcAttachPoint, TcHook, TcHookBuilder};
use netlink_packet_route::link::LinkAttribute;
use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::netlink::{self, Netlink};

mod beside;
mod first;
mod load;
mod log;

use first::Hooks;
pub use load::programs;
use log::{forget_said, said};

/// The node's three programs.
#[derive(Debug)]
pub struct Programs {
    from_pod: ProgramHandle,
    to_pod: ProgramHandle,
    to_node: ProgramHandle,
}

/// A program and the hook where it belongs.
pub type Place<'a> = (&'a ProgramHandle, TcAttachPoint);

impl Programs {
    /// On a veth's host end, as seen from the node: what the pod sends comes in. `to_pod` is the
    /// first: with `from_pod` alone, the pod would be open to all but the pods of this node.
    pub fn of_veth(&self) -> [Place<'_>; 2] {
        [(&self.to_pod, TC_EGRESS), (&self.from_pod, TC_INGRESS)]
    }

    /// On the bridge: what it hands up to the node comes in.
    pub fn of_bridge(&self) -> [Place<'_>; 1] {
        [(&self.to_node, TC_INGRESS)]
    }
}

// #region attach
/// Attaches programs to a link, unless they are there and count, and says whether it had to.
///
/// # Errors
/// Something else is asked before them, which may let everything pass.
pub fn mend(link: &str, places: &[Place<'_>]) -> Result<bool> {
    let index = if_nametoindex(link)?;
    let have_ours =
        |hooks: &Hooks| places.iter().all(|(program, side)| hooks.have(program.id(), *side));
    let mut hooks = Hooks::of(link, index)?;
    let is_mended = !have_ours(&hooks);
    if is_mended {
        put(link, places)?;
        hooks = Hooks::of(link, index)?;
        ensure!(have_ours(&hooks), "the filters of {link} are not what was attached");
    }
    places.iter().try_for_each(|(_, side)| hooks.ensure_first(*side))?;
    Ok(is_mended)
}

/// ADD: attaches the programs to a bridge and a host end on it, unless they are there. The bridge's is
/// the first: `from_pod` leaves to it what it cannot decide.
pub fn attach(host_link: &str, bridge: &str) -> Result<()> {
    let programs = programs()?;
    attach_to(bridge, &programs.of_bridge())?;
    attach_to(host_link, &programs.of_veth())
}

fn attach_to(link: &str, places: &[Place<'_>]) -> Result<()> {
    if are_at(link, places)? { Ok(()) } else { put(link, places) }
}

/// Fixed handle and priority and "replace": the kernel puts a program in another one's place in
/// one step, so an upgrade leaves no gap. Without an endpoint in the map they drop all but ARP
/// on its way in.
fn put(link: &str, places: &[Place<'_>]) -> Result<()> {
    forget_said();
    for (program, side) in places {
        let mut hook = hook(program, *side, link)?;
        hook.create().with_context(|| format!("cannot make clsact on {link}"))?;
        hook.attach().with_context(|| {
            format!("cannot attach {} to {link}: {}", program.name().display(), said())
        })?;
    }
    // A qdisc `ingress` in clsact's place takes a filter for egress as well, and runs it on
    // ingress.
    ensure!(
        are_at(link, places)?,
        "the qdisc of {link} is no clsact; run: tc qdisc del dev {link} ingress"
    );
    Ok(())
}
// #endregion attach

fn are_at(link: &str, places: &[Place<'_>]) -> Result<bool> {
    for (program, side) in places {
        if hook(program, *side, link)?.query().ok() != Some(program.id()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// CHECK: are there filters? An older plugin's programs are too: the agent will replace them.
pub fn check(host_link: &str, bridge: &str) -> Result<()> {
    let programs = programs()?;
    let places = programs.of_veth().map(|place| (host_link, place)).into_iter();
    for (link, (program, side)) in places.chain(programs.of_bridge().map(|place| (bridge, place))) {
        let name = program.name().display();
        ensure!(hook(program, side, link)?.query().is_ok(), "{link} has no eBPF filter {name}");
    }
    Ok(())
}

fn hook(program: &ProgramHandle, side: TcAttachPoint, link: &str) -> Result<TcHook> {
    let index = if_nametoindex(link).with_context(|| format!("link {link} is gone"))?;
    let mut builder = TcHookBuilder::new(program.as_fd());
    builder.ifindex(i32::try_from(index)?).handle(1).priority(1).replace(true);
    Ok(builder.hook(side))
}

/// What a link is called, if it is there.
pub fn link_name(ifindex: u32) -> Option<String> {
    // nix 0.31 takes the null pointer, by which libc says that there is none, for an empty name.
    let name = if_indextoname(ifindex).ok().filter(|name| !name.is_empty())?;
    Some(name.to_string_lossy().into_owned())
}

/// The ifindex of the bridge that a link is on.
pub fn bridge_of(link: &str) -> Result<u32> {
    let message = netlink::block_on(async { Netlink::open()?.link(link).await })?;
    let attributes = message.with_context(|| format!("link {link} is gone"))?.attributes;
    let bridge = attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(index),
        _ => None,
    });
    bridge.with_context(|| format!("{link} is on no bridge"))
}
