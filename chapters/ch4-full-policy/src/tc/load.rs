//! Loading the programs, once for the node, and pinning them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::maps::MapInfo;
use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};
use libbpf_rs::{ProgramHandle, ProgramMut, ProgramType, libbpf_sys};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::Programs;
use super::beside::Beside;
use super::log::{forget_said, note, said};
use crate::lock;
use crate::maps::{GLOBALS, MAPS};

mod skeleton {
    #![allow(missing_docs, missing_debug_implementations, clippy::all, clippy::restriction)]
    include!(concat!(env!("OUT_DIR"), "/policy.skel.rs"));
}

const BPFFS: &str = "/sys/fs/bpf";
/// Keep the programs in the kernel while no pod uses them. Chapter 2's pin is a file `ebpfcni`:
/// one chapter may be installed over another.
pub(super) const FROM_POD: &str = "/sys/fs/bpf/ebpfcni-from-pod";
const TO_POD: &str = "/sys/fs/bpf/ebpfcni-to-pod";
const TO_NODE: &str = "/sys/fs/bpf/ebpfcni-to-node";
/// A symlink to nowhere: its text says which build the pinned programs are from.
const STAMP: &str = "/sys/fs/bpf/ebpfcni-policy-build";

/// The node's programs of this build, loaded if need be: as a rule by the agent when it starts.
pub fn programs() -> Result<Programs> {
    libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Info, note)));
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
    let Some(to_node) = program_at(TO_NODE, "to_node")? else { return Ok(None) };
    let programs = Programs { from_pod, to_pod, to_node };
    let is_ours = fs::read_link(STAMP).is_ok_and(|text| text.as_os_str() == stamp(&programs));
    Ok((is_ours && have_the_pinned_maps(&programs)?).then_some(programs))
}

/// Somebody may have removed the maps' pins, or mounted another bpffs: then what the agent writes is
/// not what these programs read.
fn have_the_pinned_maps(programs: &Programs) -> Result<bool> {
    let Programs { from_pod, to_pod, to_node } = programs;
    let theirs = [map_ids(from_pod)?, map_ids(to_pod)?, map_ids(to_node)?];
    let is_pinned = |name: &&str| {
        let map = MapInfo::from_pin(format!("{GLOBALS}/{name}"));
        map.is_ok_and(|map| theirs.iter().all(|its| its.contains(&map.id())))
    };
    Ok(MAPS.iter().all(is_pinned))
}

/// The maps of a program. By its descriptor: to open one by its id takes CAP_SYS_ADMIN, which the
/// agent has not.
pub(super) fn map_ids(program: &ProgramHandle) -> Result<Vec<u32>> {
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

pub(super) fn program_at(pin: &str, name: &str) -> Result<Option<ProgramHandle>> {
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
    let [from, to, node] =
        [&programs.from_pod, &programs.to_pod, &programs.to_node].map(ProgramHandle::id);
    format!("build-{}-programs-{from}-{to}-{node}", env!("BUILD_ID")).into()
}

/// Loads the programs and puts each in the old one's place, in one step: pins, then stamp.
/// A process that is killed between them leaves programs without a stamp, and the next one loads again.
/// The maps are pinned as well, and taken over if they are there and laid out alike: what they hold
/// stays.
fn load_and_pin() -> Result<Programs> {
    fs::create_dir_all(GLOBALS).with_context(|| format!("cannot make {GLOBALS}"))?;
    forget_said();
    let mut object = MaybeUninit::uninit();
    let mut builder = skeleton::PolicySkelBuilder::default();
    builder.obj_builder.pin_root_path(GLOBALS)?;
    let mut open = builder.open(&mut object).context("cannot read the programs of this build")?;
    let beside = Beside::make_room(open.open_object_mut())?;
    let mut skeleton = open.load().map_err(|error| refusal(&error))?;
    beside.take_pins()?;
    let progs = &mut skeleton.progs;
    let programs = Programs {
        from_pod: pin(&mut progs.from_pod, FROM_POD)?,
        to_pod: pin(&mut progs.to_pod, TO_POD)?,
        to_node: pin(&mut progs.to_node, TO_NODE)?,
    };
    let new = format!("{STAMP}-new");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(stamp(&programs), &new)
        .and_then(|()| fs::rename(&new, STAMP))
        .with_context(|| format!("cannot write {STAMP}"))?;
    Ok(programs)
}

/// Puts a program in the place of an older one.
fn pin(program: &mut ProgramMut<'_>, pin: &str) -> Result<ProgramHandle> {
    let new = format!("{pin}-new");
    let _ = fs::remove_file(&new); // of a plugin that was killed here
    program.pin(&new).with_context(|| format!("cannot pin {new}"))?;
    fs::rename(&new, pin).with_context(|| format!("cannot rename {new} to {pin}"))?;
    Ok(ProgramHandle::from_pinned_path(pin)?)
}

/// Why the kernel did not take the programs, with all that the verifier said.
fn refusal(error: &libbpf_rs::Error) -> anyhow::Error {
    let said = said();
    // The verifier's no is a permission that is denied, too: what does the kernel say to the smallest
    // program?
    let may_load = ProgramType::SchedCls.is_supported().unwrap_or_default();
    let why = match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if !may_load => {
            "this process may not load eBPF programs: it needs CAP_BPF and CAP_NET_ADMIN"
        }
        _ => "the kernel refused the eBPF programs",
    };
    anyhow!("{error}\n{said}").context(why)
}
