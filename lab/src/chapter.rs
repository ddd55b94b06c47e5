//! Chapters: building their programs and installing them on a node.

use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{Uid, User};
use serde_json::Value;

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

/// How a chapter is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// In seconds, for the lab: all that the tests have compiled already is taken.
    Dev,
    /// In minutes, for a real node and for measuring: optimised, and linked statically, since the
    /// plugin is exec'ed for every pod and looks for no libraries then.
    Release,
}

/// What cargo makes of a chapter.
struct Programs {
    plugin: PathBuf,
    agent: Option<PathBuf>,
}

/// Builds a chapter's plugin and returns the program.
pub fn build(chapter: &str, profile: Profile) -> Result<PathBuf> {
    programs(chapter, profile).map(|programs| programs.plugin)
}

/// Builds a chapter's agent and returns the program, if the chapter has one.
pub fn agent(chapter: &str, profile: Profile) -> Result<Option<PathBuf>> {
    programs(chapter, profile).map(|programs| programs.agent)
}

fn programs(chapter: &str, profile: Profile) -> Result<Programs> {
    let folder = folder(chapter)?;
    let package = folder.file_name().unwrap_or_default().to_string_lossy();
    let has_agent = folder.join("src/bin/ebpf-agent.rs").exists();
    let mut cargo = as_caller(Command::new("cargo"))?;
    // Set under `cargo test`, and asked for by ring's build script: it would be built anew by turns.
    let of_test =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_test)) {
        cargo.env_remove(name);
    }
    match profile {
        // `--workspace`: the libraries have the features that the lab and the tests need as well,
        // so they are compiled once for all.
        Profile::Dev => cargo.args(["build", "--workspace", "--bin", &package]),
        // `--target` keeps the flag from proc macros.
        Profile::Release => cargo
            .args(["build", "--release", "--target", &host_triple()?, "--package", &package])
            .args(["--bin", &package])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    };
    let agent = format!("{package}-agent");
    cargo.args(has_agent.then_some(["--bin", &agent]).iter().flatten());
    // Who looks on sees what is being built; a log would be full of it.
    cargo.args((!io::stderr().is_terminal()).then_some("--quiet"));
    let output = cargo
        .args(["--locked", "--message-format", "json-render-diagnostics"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "chapter {chapter} does not build");
    // A line for each thing built, new or not; a program's says where it is.
    let text = String::from_utf8_lossy(&output.stdout);
    let program = |name: &str| {
        let built = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut its = built.filter(|it| it["target"]["name"] == name);
        its.find_map(|it| it["executable"].as_str().map(PathBuf::from))
    };
    let plugin = program(&package).with_context(|| format!("chapter {chapter} has no plugin"))?;
    Ok(Programs { plugin, agent: program(&agent) })
}

/// Builds a chapter and installs it on a node.
pub fn install(node: &Node, chapter: &str, profile: Profile) -> Result<()> {
    let Programs { plugin, agent } = programs(chapter, profile)?;
    let conf = folder(chapter)?.join(CONF);
    let conf =
        fs::read_to_string(&conf).with_context(|| format!("cannot read {}", conf.display()))?;
    install_programs(node, &plugin, agent.as_deref(), &conf)
}

/// Installs a plugin and its agent, if it has one. The configuration comes last, since with it
/// the node becomes Ready: by then the agent must be.
pub fn install_programs(
    node: &Node,
    plugin: &Path,
    agent: Option<&Path>,
    conf: &str,
) -> Result<()> {
    match agent {
        Some(agent) => node.stop_agent().and_then(|()| node.start_agent(agent))?,
        None => node.remove_agent()?,
    }
    node.install_plugin(plugin)?;
    node.write_config(CONF, conf)
}

/// Takes plugin, agent and configuration away, the configuration first.
pub fn uninstall(node: &Node) -> Result<()> {
    for path in [format!("{CNI_CONF}/{CONF}"), format!("{CNI_BIN}/ebpfcni")] {
        let path = node.path(path);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    node.remove_agent()
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
