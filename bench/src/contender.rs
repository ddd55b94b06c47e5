//! Who takes part, and what one call of them costs.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use ch1_basic_cni::args::Attachment;
use ch1_basic_cni::config::NetConf;
use ch1_basic_cni::netlink::{Netlink, block_on};
use ch1_basic_cni::netns::NetNs;
use ch1_basic_cni::{bridge, veth};
use lab::Sandbox;
use serde_json::{Value, json};

/// One way to connect a pod.
#[derive(Debug)]
pub enum Contender {
    /// A CNI plugin: a program and its configuration.
    Plugin {
        /// In the tables.
        name: &'static str,
        /// The program.
        program: PathBuf,
        /// What it reads.
        conf: String,
    },
    /// The netlink requests of our ADD and nothing else: no process, no lease, sockets open.
    Kernel,
}

impl Contender {
    /// All, in the order of the tables, of the chapters' plugins and the talk's script.
    pub fn all(chapters: [PathBuf; 4], talk: PathBuf) -> Result<Vec<Self>> {
        let [ours, chapter2, chapter3, chapter4] = chapters;
        let reference = PathBuf::from("/usr/lib/cni/bridge");
        ensure!(
            reference.exists(),
            "the reference is missing: apt install containernetworking-plugins"
        );
        let plugin =
            |name, program, conf: Value| Self::Plugin { name, program, conf: conf.to_string() };
        let conf = |kind: &str, more: Value| {
            let mut conf = json!({ "cniVersion": "1.0.0", "name": kind, "type": kind });
            if let (Some(conf), Value::Object(more)) = (conf.as_object_mut(), more) {
                conf.extend(more);
            }
            conf
        };
        let range = json!({ "podcidr": "10.13.0.0/23", "ipMasq": false });
        let masquerading = json!({ "podcidr": "10.16.0.0/23", "bridge": "masq0" });
        let filtering = json!({ "podcidr": "10.18.0.0/23", "bridge": "tc0", "ipMasq": false });
        let policing = json!({ "podcidr": "10.20.0.0/23", "bridge": "policy0", "ipMasq": false });
        let like_ours = json!({
            "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
            "ipam": { "type": "host-local", "subnet": "10.14.0.0/23", "dataDir": "/run/host-local" },
        });
        Ok(vec![
            Self::Kernel,
            plugin("ours", ours.clone(), conf("ebpfcni", range)),
            plugin("ours, ipMasq", ours, conf("masquerading", masquerading)),
            plugin("chapter 2", chapter2, conf("filtering", filtering)),
            plugin("chapter 3", chapter3, conf("policing", policing.clone())),
            plugin("chapter 4", chapter4, conf("policing", policing)),
            plugin("reference", reference, conf("reference", like_ours)),
            plugin("ip script", talk, conf("talk", json!({}))),
        ])
    }

    /// In the tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plugin { name, .. } => name,
            Self::Kernel => "kernel alone",
        }
    }

    /// Does one command for one pod, from inside the node; the time is what a runtime waits.
    pub fn run(&self, command: &str, pod: &Sandbox, nth: usize) -> Result<Duration> {
        match self {
            Self::Plugin { program, conf, .. } => {
                let mut call = Command::new(program);
                call.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
                call.env("CNI_COMMAND", command).env("CNI_CONTAINERID", pod.id());
                call.env("CNI_NETNS", pod.netns()).env("CNI_IFNAME", "eth0");
                call.stderr(Stdio::null())
                    .env("CNI_PATH", "/usr/lib/cni")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped());
                let start = Instant::now();
                let mut child = call.spawn().with_context(|| format!("cannot run {program:?}"))?;
                child.stdin.take().context("no pipe")?.write_all(conf.as_bytes())?;
                let output = child.wait_with_output()?;
                let time = start.elapsed();
                let said = String::from_utf8_lossy(&output.stdout);
                ensure!(output.status.success(), "{} {command}: {said}", self.name());
                Ok(time)
            }
            Self::Kernel if command == "ADD" => kernel_add(pod, nth),
            Self::Kernel => kernel_del(pod),
        }
    }
}

fn attachment(pod: &Sandbox) -> Attachment {
    Attachment { container_id: format!("k{}", pod.id()), ifname: "eth0".into(), pod: None }
}

fn kernel_add(pod: &Sandbox, nth: usize) -> Result<Duration> {
    let conf = json!({ "cniVersion": "1.0.0", "name": "kernel", "bridge": "kernel0", "podcidr": "10.17.0.0/16" });
    let (conf, attachment) = (NetConf::parse(conf)?, attachment(pod));
    let netns = NetNs::open(pod.netns().as_ref())?;
    let address = (u32::from(conf.gateway()) + 1 + u32::try_from(nth)?).into();
    block_on(async {
        let node = Netlink::open()?;
        let pod = netns.enter(Netlink::open)??;
        bridge::ensure(&node, &conf).await?;
        let start = Instant::now();
        let bridge = bridge::ensure(&node, &conf).await?;
        veth::create(&node, &conf, &attachment, &bridge, &netns, address).await?;
        let eth0 = pod.link("eth0").await?.context("eth0 is missing")?;
        veth::configure_host_end(&node, &attachment).await?;
        veth::add_address(&pod, &conf, eth0.header.index, address).await?;
        veth::set_up(&pod, eth0.header.index).await?;
        veth::add_default_route(&pod, eth0.header.index, conf.gateway()).await?;
        Ok(start.elapsed())
    })
}

/// DELLINK alone.
fn kernel_del(pod: &Sandbox) -> Result<Duration> {
    block_on(async {
        let node = Netlink::open()?;
        let start = Instant::now();
        veth::delete(&node, &attachment(pod).host_link()).await?;
        Ok(start.elapsed())
    })
}

/// Takes chapter 2's program out of the kernel's pins: the next ADD is a first one.
pub fn forget_program() -> Result<()> {
    for pin in ["/sys/fs/bpf/ebpfcni", "/sys/fs/bpf/ebpfcni-build"] {
        fs::remove_file(pin).with_context(|| format!("cannot remove {pin}"))?;
    }
    Ok(())
}

/// The talk's script as a program inside the node.
pub fn write_talk() -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = PathBuf::from("/opt/cni/bin/talk");
    fs::write(&path, include_str!("talk.sh"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
