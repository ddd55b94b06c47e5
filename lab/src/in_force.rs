//! Does what the manifests say hold? The agent knows: it tells which content of each file it has
//! read, and whether the kernel's maps follow it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use serde::Deserialize;

use crate::manifests::MANIFESTS;
use crate::node::Node;

/// Where the agent listens.
const SOCKET: &str = "/run/ebpfcni/agent.sock";

/// How long it may take until what is written down holds.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What became of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InForce {
    /// All that the manifests say holds.
    Yes,
    /// The node has an agent, but it does not run.
    AgentDoesNotRun,
    /// The node has no agent, or one that does not tell.
    NobodyKnows,
}

/// The agent's answer.
#[derive(Debug, Default, Deserialize)]
struct Manifests {
    files: BTreeMap<String, String>,
    in_force: bool,
}

impl Node {
    /// Waits until the agent has read all manifests as they are and the maps follow them. An error
    /// names what is missing. Without an agent there is nothing to wait for.
    pub fn wait_until_in_force(&self, patience: Duration) -> Result<InForce> {
        if self.agent_program().is_none() {
            return Ok(InForce::NobodyKnows);
        }
        let deadline = Instant::now() + patience;
        let mut told = None;
        loop {
            match self.ask_for_manifests(deadline) {
                Ok(Some(now)) if now.in_force && now.files == self.stamps()? => {
                    return Ok(InForce::Yes);
                }
                Ok(Some(now)) => told = Some(now),
                Ok(None) => return Ok(InForce::NobodyKnows),
                Err(_) if self.agent_pid().is_none() => return Ok(InForce::AgentDoesNotRun),
                // A socket of an agent before it, or none yet whose agent has no API.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(InForce::NobodyKnows);
                }
                Err(_) => {} // it starts, or is busy
            }
            if Instant::now() > deadline {
                bail!("{} in {patience:?}: see `lab agent log`", self.missing(told)?);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the agent says; nothing if it knows no such question.
    fn ask_for_manifests(&self, deadline: Instant) -> io::Result<Option<Manifests>> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // connect(2) waits while the listener's queue is full, and as long as a write may.
        let patience = TimeVal::new(
            left.as_secs().try_into().unwrap_or(i64::MAX),
            left.subsec_micros().into(),
        );
        setsockopt(&fd, sockopt::SendTimeout, &patience)?;
        connect(fd.as_raw_fd(), &UnixAddr::new(&self.path(SOCKET))?)?;
        let mut stream = UnixStream::from(fd);
        stream.set_read_timeout(Some(left))?;
        stream.write_all(b"GET /v1/manifests HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        match answer.split(' ').nth(1) {
            Some("200") => Ok(Some(serde_json::from_str(body)?)),
            Some(_) => Ok(None),
            None => Err(ErrorKind::UnexpectedEof.into()), // it ends
        }
    }

    /// The manifests by name, as the agent tells of them.
    fn stamps(&self) -> Result<BTreeMap<String, String>> {
        let mut stamps = BTreeMap::new();
        for name in self.manifests("")? {
            let extension = Path::new(&name).extension().unwrap_or_default();
            if name.starts_with('.') || extension != "yaml" && extension != "json" {
                continue;
            }
            match fs::metadata(self.path(format!("{MANIFESTS}/{name}"))) {
                Ok(file) if file.is_file() => drop(stamps.insert(name, stamp(&file))),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {} // removed just now
                Err(error) => return Err(error).context("cannot look at the manifests"),
            }
        }
        Ok(stamps)
    }

    fn missing(&self, told: Option<Manifests>) -> Result<String> {
        let Some(told) = told else { return Ok("the agent has not answered".into()) };
        let now = self.stamps()?;
        let differs = |name: &&String| told.files.get(*name) != now.get(*name);
        Ok(match now.keys().chain(told.files.keys()).find(differs) {
            Some(name) => format!("the agent has not read the manifest {name}"),
            None => "the agent has read the manifests, but not written the maps".into(),
        })
    }
}

/// As the agent writes it: inode, and when it was written.
fn stamp(file: &Metadata) -> String {
    format!("{}:{}.{:09}", file.ino(), file.mtime(), file.mtime_nsec())
}
