//! The eBPF programs: loaded once for the node, attached to every pod's veth by TC.
//!
//! A filter is a part of its link: it goes when the link goes, so DEL and GC have nothing to
//! do. (TCX, which is newer, would need a pinned link for each pod, and somebody to unpin it.)

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::maps::MapInfo;
use libbpf_rs::skel::{OpenSkel, SkelBuilder as _};
use libbpf_rs::{
    PrintLevel, ProgramHandle, TC_EGRESS, TC_INGRESS, TcAttachPoint, TcHook, TcHookBuilder,
    libbpf_sys,
};
use nix::net::if_::if_nametoindex;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::lock;
use crate::maps::{GLOBALS, MAPS};

mod skeleton {
    #![allow(missing_docs, missing_debug_implementations, clippy::all, clippy::restriction)]
    include!(concat!(env!("OUT_DIR"), "/policy.skel.rs"));
}

const BPFFS: &str = "/sys/fs/bpf";
/// Keep the programs in the kernel while no pod uses them. Chapter 2's pin is a file `ebpfcni`:
/// one chapter may be installed over another.
const FROM_POD: &str = "/sys/fs/bpf/ebpfcni-from-pod";
const TO_POD: &str = "/sys/fs/bpf/ebpfcni-to-pod";
/// A symlink to nowhere: its text says which build the pinned programs are from.
const STAMP: &str = "/sys/fs/bpf/ebpfcni-policy-build";

/// The node's two programs.
#[derive(Debug)]
pub struct Programs {
    from_pod: ProgramHandle,
    to_pod: ProgramHandle,
}

impl Programs {
    /// Each program with its hook, as seen from the node: what the pod sends comes in. `to_pod` is
    /// the first: with `from_pod` alone, the pod would be open to whoever is no pod of this node.
    fn hooks(&self, host_link: &str) -> Result<[(&ProgramHandle, TcHook); 2]> {
        Ok([
            (&self.to_pod, hook(&self.to_pod, TC_EGRESS, host_link)?),
            (&self.from_pod, hook(&self.from_pod, TC_INGRESS, host_link)?),
        ])
    }

    // #region attach
    /// Attaches the programs to a host end, unless they are there, and says whether it had to.
    /// Fixed handle and priority and "replace": the kernel puts a program in another one's place in
    /// one step, so an upgrade leaves no gap. Without an endpoint in the map they drop all but ARP
    /// on its way in.
    pub fn attach(&self, host_link: &str) -> Result<bool> {
        if self.are_at(host_link)? {
            return Ok(false);
        }
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
        Ok(true)
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
    programs()?.attach(host_link).map(drop)
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

/// The node's programs of this build, loaded if need be. Whoever comes first loads them: as a
/// rule the agent, when it starts.
pub fn programs() -> Result<Programs> {
    libbpf_rs::set_print(Some((PrintLevel::Info, note)));
    let filesystem = statfs(BPFFS).with_context(|| format!("cannot look at {BPFFS}"))?;
    ensure!(
        filesystem.filesystem_type() == BPF_FS_MAGIC,
        "bpffs is not mounted at {BPFFS}; run: mount -t bpf bpf {BPFFS}"
    );
    if let Some(programs) = pinned()? {
        return Ok(programs);
    }
    let directory = File::open(BPFFS).with_context(|| format!("cannot open {BPFFS}"))?;
    lock::exclusive(&directory, Path::new(BPFFS))?;
    if let Some(programs) = pinned()? {
        return Ok(programs);
    }
    load_and_pin()
}

/// The pinned programs, if they are of this build, and if the pinned maps are theirs: others are
/// never attached.
fn pinned() -> Result<Option<Programs>> {
    let Some(from_pod) = program_at(FROM_POD, "from_pod")? else { return Ok(None) };
    let Some(to_pod) = program_at(TO_POD, "to_pod")? else { return Ok(None) };
    let programs = Programs { from_pod, to_pod };
    let is_ours = fs::read_link(STAMP).is_ok_and(|text| text.as_os_str() == stamp(&programs));
    Ok((is_ours && have_the_pinned_maps(&programs)?).then_some(programs))
}

/// Somebody may have removed the maps' pins, or mounted another bpffs: then what the agent writes is
/// not what these programs read.
fn have_the_pinned_maps(programs: &Programs) -> Result<bool> {
    let (from_pod, to_pod) = (map_ids(&programs.from_pod)?, map_ids(&programs.to_pod)?);
    let is_pinned = |name: &&str| {
        let map = MapInfo::from_pin(format!("{GLOBALS}/{name}"));
        map.is_ok_and(|map| from_pod.contains(&map.id()) && to_pod.contains(&map.id()))
    };
    Ok(MAPS.iter().all(is_pinned))
}

/// The maps of a program. By its descriptor: to open one by its id takes CAP_SYS_ADMIN, which the
/// agent has not.
fn map_ids(program: &ProgramHandle) -> Result<Vec<u32>> {
    let mut ids = vec![0; 64];
    let mut info = libbpf_sys::bpf_prog_info {
        nr_map_ids: 64,
        map_ids: ids.as_mut_ptr() as u64,
        ..Default::default()
    };
    let mut length = size_of_val(&info) as u32;
    let fd = program.as_fd().as_raw_fd();
    // SAFETY: info and length live through the call, and ids has room for as many as info says.
    let failed = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd, &mut info, &mut length) };
    ensure!(failed == 0, "cannot look at a program: {}", std::io::Error::last_os_error());
    ids.truncate(info.nr_map_ids as usize);
    Ok(ids)
}

fn program_at(pin: &str, name: &str) -> Result<Option<ProgramHandle>> {
    if fs::symlink_metadata(pin).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let program = ProgramHandle::from_pinned_path(pin).ok().filter(|it| it.name() == name);
    let Some(program) = program else {
        bail!("{pin} is something else than {name}; if nobody needs it, run: rm -r {pin}");
    };
    Ok(Some(program))
}

/// This build and those programs: programs that another plugin pinned have other ids.
fn stamp(programs: &Programs) -> OsString {
    let ids = (programs.from_pod.id(), programs.to_pod.id());
    format!("build-{}-programs-{}-{}", env!("BUILD_ID"), ids.0, ids.1).into()
}

/// Loads the programs and puts each in the old one's place, in one step: pins, then stamp.
/// Who is killed between them leaves programs without a stamp, and the next one loads again.
/// The maps are pinned as well, and taken over if they are there: what they hold stays.
fn load_and_pin() -> Result<Programs> {
    fs::create_dir_all(GLOBALS).with_context(|| format!("cannot make {GLOBALS}"))?;
    forget_said();
    let mut object = MaybeUninit::uninit();
    let mut builder = skeleton::PolicySkelBuilder::default();
    builder.obj_builder.pin_root_path(GLOBALS)?;
    let mut skeleton =
        builder.open(&mut object).and_then(OpenSkel::load).map_err(|error| refusal(&error))?;
    let progs = &mut skeleton.progs;
    for (program, pin) in [(&mut progs.from_pod, FROM_POD), (&mut progs.to_pod, TO_POD)] {
        let new = format!("{pin}-new");
        let _ = fs::remove_file(&new); // of a plugin that was killed here
        program.pin(&new).with_context(|| format!("cannot pin {new}"))?;
        fs::rename(&new, pin).with_context(|| format!("cannot rename {new} to {pin}"))?;
    }
    let programs = Programs {
        from_pod: ProgramHandle::from_pinned_path(FROM_POD)?,
        to_pod: ProgramHandle::from_pinned_path(TO_POD)?,
    };
    let new = format!("{STAMP}-new");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(stamp(&programs), &new)
        .and_then(|()| fs::rename(&new, STAMP))
        .with_context(|| format!("cannot write {STAMP}"))?;
    Ok(programs)
}

/// Why the kernel did not take the programs, with all that the verifier said.
fn refusal(error: &libbpf_rs::Error) -> anyhow::Error {
    let why = match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if said().contains("-EPERM") => {
            "this process may not load eBPF programs: it needs CAP_BPF and CAP_NET_ADMIN".into()
        }
        _ if said().contains("couldn't reuse pinned map") => format!(
            "a pinned map has another layout than this build's; run: rm -r {GLOBALS} (pods keep \
             the last policies until the agent has filled new maps)"
        ),
        _ => "the kernel refused the eBPF programs".into(),
    };
    anyhow!("{error}\n{}", said()).context(why)
}

/// libbpf's messages, the verifier's log among them.
static SAID: Mutex<String> = Mutex::new(String::new());

fn note(_: PrintLevel, message: String) {
    if let Ok(mut said) = SAID.lock() {
        said.push_str(&message);
    }
}

/// An agent lives long: what was said of something else is none of this error's.
fn forget_said() {
    if let Ok(mut said) = SAID.lock() {
        said.clear();
    }
}

fn said() -> String {
    SAID.lock().map(|said| said.trim().to_string()).unwrap_or_default()
}
