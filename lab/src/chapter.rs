//! Chapters: building their plugin and installing it on a node.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{Uid, User};

use crate::node::{CNI_BIN, CNI_CONF, Node};

/// The configuration's name on every node.
const CONF: &str = "10-ebpfcni.conf";

/// The folder of a chapter: `ch1` is `chapters/ch1-basic-cni`.
pub fn folder(chapter: &str) -> Result<PathBuf> {
    let chapters = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chapters");
    let chapters = chapters.canonicalize().context("the folder chapters/ is gone")?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&chapters)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.split('-').next() == Some(chapter) {
            return Ok(chapters.join(name));
        }
        names.extend(name.starts_with("ch").then_some(name));
    }
    names.sort();
    bail!("there is no chapter {chapter:?}; there are: {}", names.join(", "))
}

/// Builds a chapter's plugin and returns the program. Linked statically, since it is exec'ed for
/// every pod and looks for no libraries then; `--target` keeps that flag from proc macros.
pub fn build(chapter: &str) -> Result<PathBuf> {
    let folder = folder(chapter)?;
    let package = folder.file_name().unwrap_or_default();
    let host = host_triple()?;
    let status = as_caller(Command::new("cargo"))?
        .args(["build", "--quiet", "--release", "--locked", "--target", &host, "--package"])
        .arg(package)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(&folder)
        .stdin(Stdio::null())
        .status();
    ensure!(status.context("cannot run cargo")?.success(), "chapter {chapter} does not build");
    let workspace = folder.ancestors().nth(2).unwrap_or(&folder);
    let target = env::var_os("CARGO_TARGET_DIR").map_or(workspace.join("target"), PathBuf::from);
    Ok(target.join(host).join("release").join(package))
}

/// Installs a chapter: the program by rename, then its configuration by rename, last, since
/// with the configuration the node becomes Ready.
pub fn install(node: &Node, chapter: &str) -> Result<()> {
    let binary = build(chapter)?;
    let conf = folder(chapter)?.join(CONF);
    let conf =
        fs::read_to_string(&conf).with_context(|| format!("cannot read {}", conf.display()))?;
    node.install_plugin(&binary)?;
    node.write_config(CONF, &conf)
}

/// Takes plugin and configuration away, the configuration first.
pub fn uninstall(node: &Node) -> Result<()> {
    for path in [format!("{CNI_CONF}/{CONF}"), format!("{CNI_BIN}/ebpfcni")] {
        let path = node.path(path);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn host_triple() -> Result<String> {
    let output =
        as_caller(Command::new("rustc"))?.arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_string())
}

/// Under sudo, cargo runs as the one who called sudo: with their toolchain, and `target/`
/// stays theirs.
fn as_caller(mut command: Command) -> Result<Command> {
    let id = |name: &str| env::var(name).ok().and_then(|id| id.parse::<u32>().ok());
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID"))
        && uid != 0
    {
        let user = User::from_uid(Uid::from_raw(uid))?.context("SUDO_UID is nobody's")?;
        let path = env::var("PATH").unwrap_or_default();
        command.uid(uid).gid(gid).env("HOME", &user.dir);
        command.env("PATH", format!("{}/.cargo/bin:{path}", user.dir.display()));
    }
    Ok(command)
}
