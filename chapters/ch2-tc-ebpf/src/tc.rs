//! The eBPF program: loaded once for the node, attached to every pod's veth by TC.
//!
//! A filter is a part of its link: it goes when the link goes, so DEL and GC have nothing to
//! do. (TCX, which is newer, would need a pinned link for each pod, and somebody to unpin it.)

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use libbpf_rs::skel::{OpenSkel, SkelBuilder as _};
use libbpf_rs::{PrintLevel, ProgramHandle, ProgramType, TC_INGRESS, TcHook, TcHookBuilder};
use nix::net::if_::if_nametoindex;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::lock;

mod skeleton {
    #![allow(missing_docs, missing_debug_implementations, clippy::all, clippy::restriction)]
    include!(concat!(env!("OUT_DIR"), "/simple_tc_parser.skel.rs"));
}

const BPFFS: &str = "/sys/fs/bpf";
/// Keeps the program in the kernel while no pod uses it.
const PIN: &str = "/sys/fs/bpf/ebpfcni";
/// A symlink to nowhere: its text says which build the pinned program is from.
const STAMP: &str = "/sys/fs/bpf/ebpfcni-build";
/// The kernel keeps 15 bytes of `simple_tc_parser`.
const NAME: &str = "simple_tc_parse";

// #region attach
/// Attaches the program to a host end's ingress: what the pod sends. Fixed handle and priority
/// and "replace": done twice, it is still there once.
pub fn attach(host_link: &str) -> Result<()> {
    let program = program()?;
    let mut hook = hook(&program, host_link)?;
    hook.create().with_context(|| format!("cannot make clsact on {host_link}"))?;
    hook.attach().with_context(|| format!("cannot attach {NAME} to {host_link}: {}", said()))?;
    Ok(())
}
// #endregion attach

/// CHECK: is there a filter? An older plugin's program is one too: it works until the pod ends.
pub fn check(host_link: &str) -> Result<()> {
    let program = program()?;
    let found = hook(&program, host_link)?.query();
    ensure!(found.is_ok(), "{host_link} has no eBPF filter on its ingress");
    Ok(())
}

fn hook(program: &ProgramHandle, host_link: &str) -> Result<TcHook> {
    let index = if_nametoindex(host_link).with_context(|| format!("link {host_link} is gone"))?;
    let mut builder = TcHookBuilder::new(program.as_fd());
    builder.ifindex(i32::try_from(index)?).handle(1).priority(1).replace(true);
    Ok(builder.hook(TC_INGRESS))
}

/// The node's program of this build. The first ADD loads it.
fn program() -> Result<ProgramHandle> {
    libbpf_rs::set_print(Some((PrintLevel::Info, note)));
    let filesystem = statfs(BPFFS).with_context(|| format!("cannot look at {BPFFS}"))?;
    ensure!(
        filesystem.filesystem_type() == BPF_FS_MAGIC,
        "bpffs is not mounted at {BPFFS}; run: mount -t bpf bpf {BPFFS}"
    );
    if let Some(program) = pinned()? {
        return Ok(program);
    }
    let directory = File::open(BPFFS).with_context(|| format!("cannot open {BPFFS}"))?;
    lock::exclusive(&directory, Path::new(BPFFS))?;
    if let Some(program) = pinned()? {
        return Ok(program);
    }
    load_and_pin()
}

/// The pinned program, if it is of this build: an older one is never attached to a new pod.
fn pinned() -> Result<Option<ProgramHandle>> {
    if fs::symlink_metadata(PIN).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let program = ProgramHandle::from_pinned_path(PIN).ok().filter(|it| it.name() == NAME);
    let Some(program) = program else {
        bail!("{PIN} is something else than {NAME}; if nobody needs it, run: rm -r {PIN}");
    };
    let is_ours = fs::read_link(STAMP).is_ok_and(|text| text.as_os_str() == stamp(&program));
    Ok(is_ours.then_some(program))
}

/// This build and that program: a program that another plugin pinned has another id.
fn stamp(program: &ProgramHandle) -> OsString {
    format!("build-{}-program-{}", env!("BUILD_ID"), program.id()).into()
}

// #region load
/// Loads the program and puts it in the old one's place, in one step each: pin, then stamp.
/// A plugin that is killed between them leaves a program without a stamp, and the next one loads again.
fn load_and_pin() -> Result<ProgramHandle> {
    let mut object = MaybeUninit::uninit();
    let mut skeleton = skeleton::SimpleTcParserSkelBuilder::default()
        .open(&mut object)
        .and_then(OpenSkel::load)
        .map_err(|error| refusal(&error))?;
    let new = format!("{PIN}-new");
    let _ = fs::remove_file(&new); // of a plugin that was killed here
    skeleton.progs.simple_tc_parser.pin(&new).with_context(|| format!("cannot pin {new}"))?;
    fs::rename(&new, PIN).with_context(|| format!("cannot rename {new} to {PIN}"))?;
    let program = ProgramHandle::from_pinned_path(PIN)?;
    let new = format!("{STAMP}-new");
    let _ = fs::remove_file(&new);
    std::os::unix::fs::symlink(stamp(&program), &new)
        .and_then(|()| fs::rename(&new, STAMP))
        .with_context(|| format!("cannot write {STAMP}"))?;
    Ok(program)
}
// #endregion load

/// Why the kernel did not take the program, with all that the verifier said.
fn refusal(error: &libbpf_rs::Error) -> anyhow::Error {
    let said = said();
    // The verifier's no is a permission that is denied, too: what does the kernel say to the smallest
    // program?
    let may_load = ProgramType::SchedCls.is_supported().unwrap_or_default();
    let why = match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if !may_load => {
            "this process may not load eBPF programs: it needs CAP_BPF and CAP_NET_ADMIN"
        }
        _ => "the kernel refused the eBPF program",
    };
    anyhow!("{error}\n{said}").context(why)
}

/// libbpf's messages, the verifier's log among them.
static SAID: Mutex<String> = Mutex::new(String::new());

fn note(_: PrintLevel, message: String) {
    if let Ok(mut said) = SAID.lock() {
        said.push_str(&message);
    }
}

fn said() -> String {
    SAID.lock().map(|said| said.trim().to_string()).unwrap_or_default()
}
