//! Compiles the eBPF programs and generates their skeleton, all into `OUT_DIR`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "src/bpf/policy.bpf.c";
const BTF: &str = "/sys/kernel/btf/vmlinux";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=src/bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    write_vmlinux_h(&out.join("vmlinux.h"))?;
    let object = out.join("policy.bpf.o");
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang_args([format!("-I{}", out.display())])
        .build_and_generate(out.join("policy.skel.rs"))
        .context("cannot compile the eBPF program; clang is needed: sudo apt install clang")?;

    SkeletonBuilder::new()
        .source("src/bpf/layouts.bpf.c")
        .obj(out.join("layouts.bpf.o"))
        .clang_args([format!("-I{}", out.display())])
        .build()?;

    let mut hasher = DefaultHasher::new();
    fs::read(&object)?.hash(&mut hasher);
    println!("cargo:rustc-env=BUILD_ID={}", hasher.finish());
    Ok(())
}

/// The kernel's types, from the running kernel's own description of them.
fn write_vmlinux_h(path: &Path) -> Result<()> {
    ensure!(
        Path::new(BTF).exists(),
        "{BTF} is missing: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF). Build on a \
         distribution's kernel or in the Vagrant VM"
    );
    // Debian keeps it where ordinary users do not look.
    let path_variable = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let dump = Command::new("bpftool")
        .args(["btf", "dump", "file", BTF, "format", "c"])
        .env("PATH", path_variable)
        .output()
        .context("cannot run bpftool: sudo apt install bpftool")?;
    ensure!(dump.status.success(), "bpftool: {}", String::from_utf8_lossy(&dump.stderr));
    fs::write(path, dump.stdout).with_context(|| format!("cannot write {}", path.display()))
}
