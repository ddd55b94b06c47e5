//! The eBPF programs: loaded once for the node, attached to every pod's veth by TC.
//!
//! A filter is a part of its link: it goes when the link goes, so DEL and GC have nothing to
//! do. (TCX, which is newer, would need a pinned link for each pod, and somebody to unpin it.)

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::{ProgramHandle, TC_EGRESS, TC_INGRESS, TcAttachPoint, TcHook, TcHookBuilder};
use nix::net::if_::{if_indextoname, if_nametoindex};

mod beside;
mod first;
mod load;
mod log;

use first::Hooks;
pub use load::programs;
use log::{forget_said, said};

/// The node's two programs.
#[derive(Debug)]
pub struct Programs {
    from_pod: ProgramHandle,
    to_pod: ProgramHandle,
}

impl Programs {
    /// Each program with its hook, as seen from the node: what the pod sends comes in. `to_pod` is
    /// the first: with `from_pod` alone, the pod would be open to all but the pods of this node.
    fn hooks(&self, host_link: &str) -> Result<[(&ProgramHandle, TcHook); 2]> {
        Ok([
            (&self.to_pod, hook(&self.to_pod, TC_EGRESS, host_link)?),
            (&self.from_pod, hook(&self.from_pod, TC_INGRESS, host_link)?),
        ])
    }

    // #region attach
    /// Attaches the programs to a host end, unless they are there and count, and says whether it had
    /// to.
    ///
    /// # Errors
    /// Something else is asked before them, which may let everything pass.
    pub fn mend(&self, host_link: &str) -> Result<bool> {
        let index = if_nametoindex(host_link)?;
        let have_ours = |hooks: &Hooks| hooks.have(self.from_pod.id(), self.to_pod.id());
        let mut hooks = Hooks::of(host_link, index)?;
        let is_mended = !have_ours(&hooks);
        if is_mended {
            self.put(host_link)?;
            hooks = Hooks::of(host_link, index)?;
            ensure!(have_ours(&hooks), "the filters of {host_link} are not what was attached");
        }
        hooks.ensure_first()?;
        Ok(is_mended)
    }

    /// Attaches the programs to a host end, unless they are there.
    /// Fixed handle and priority and "replace": the kernel puts a program in another one's place in
    /// one step, so an upgrade leaves no gap. Without an endpoint in the map they drop all but ARP
    /// on its way in.
    pub fn attach(&self, host_link: &str) -> Result<()> {
        if self.are_at(host_link)? { Ok(()) } else { self.put(host_link) }
    }

    fn put(&self, host_link: &str) -> Result<()> {
        forget_said();
        for (program, mut hook) in self.hooks(host_link)? {
            hook.create().with_context(|| format!("cannot make clsact on {host_link}"))?;
            hook.attach().with_context(|| {
                format!("cannot attach {} to {host_link}: {}", program.name().display(), said())
            })?;
        }
        // A qdisc `ingress` in clsact's place takes a filter for egress as well, and runs it on
        // ingress.
        ensure!(
            self.are_at(host_link)?,
            "the qdisc of {host_link} is no clsact; run: tc qdisc del dev {host_link} ingress"
        );
        Ok(())
    }
    // #endregion attach

    fn are_at(&self, host_link: &str) -> Result<bool> {
        let is_at = |(program, mut hook): (&ProgramHandle, TcHook)| {
            hook.query().is_ok_and(|id| id == program.id())
        };
        Ok(self.hooks(host_link)?.into_iter().all(is_at))
    }
}

/// ADD: attaches the programs to a host end.
pub fn attach(host_link: &str) -> Result<()> {
    programs()?.attach(host_link)
}

/// CHECK: are there filters? An older plugin's programs are too: the agent will replace them.
pub fn check(host_link: &str) -> Result<()> {
    for (program, mut hook) in programs()?.hooks(host_link)? {
        let name = program.name().display();
        ensure!(hook.query().is_ok(), "{host_link} has no eBPF filter {name}");
    }
    Ok(())
}

fn hook(program: &ProgramHandle, side: TcAttachPoint, host_link: &str) -> Result<TcHook> {
    let index = if_nametoindex(host_link).with_context(|| format!("link {host_link} is gone"))?;
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
