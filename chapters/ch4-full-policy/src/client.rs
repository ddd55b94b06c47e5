//! Asking the agent: one request, one answer, with a deadline.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{EndpointStatus, NewEndpoint, Problem, SOCKET};
use crate::error::{CniError, code};
use crate::warn;

/// ADD waits for the maps; the agent itself gives up a little earlier, and says why.
const ADD: Duration = Duration::from_secs(10);
/// The other commands ask for what is known, or leave word.
const OTHERS: Duration = Duration::from_secs(2);
/// No answer is longer: ten times that of a node with all the endpoints that it can have.
const LONGEST: u64 = 64 << 20;

/// PUT: answers when the maps are ready for the endpoint. Error 11 if the agent is not there or
/// does not know the pod yet: the runtime tries again.
pub fn put(host_link: &str, new: &NewEndpoint) -> Result<()> {
    request::<serde_json::Value>("PUT", &path_of(host_link), Some(new), ADD).map(drop).map_err(
        |error| {
            let details = format!("{error:#}");
            CniError::new(code::TRY_AGAIN_LATER, "ebpf-agent did not take the pod", details).into()
        },
    )
}

/// DEL: it goes. An agent that is not there finds out by itself when it is back.
pub fn delete(host_link: &str) -> Result<()> {
    request::<serde_json::Value>("DELETE", &path_of(host_link), None::<&()>, OTHERS).map(drop)
}

/// CHECK: the endpoint as the agent knows it.
pub fn endpoint(host_link: &str) -> Result<EndpointStatus> {
    request("GET", &path_of(host_link), None::<&()>, OTHERS)
}

/// STATUS: is the agent there and ready? That some pod is not protected is a warning, and no error: a
/// node that is not ready loses all its pods.
pub fn healthz() -> Result<()> {
    let (is_sound, health) = health()?;
    if !is_sound {
        warn(&format!("ebpf-agent says that the kernel does not do what is wanted: {health}"));
    }
    Ok(())
}

/// What is not as it should be, and whether the kernel does what is wanted all the same.
pub fn health() -> Result<(bool, serde_json::Value)> {
    match get("/v1/healthz") {
        Ok(health) => Ok((true, health)),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == INTERNAL_SERVER_ERROR => {
                Ok((false, serde_json::from_str(&refused.body)?))
            }
            _ => Err(error),
        },
    }
}

/// HTTP's status codes.
const OK: u16 = 200;
const INTERNAL_SERVER_ERROR: u16 = 500;

/// The agent says no.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Refused {
    /// HTTP's status.
    status: u16,
    body: String,
    error: String,
}

/// Any other question.
pub fn get<T: DeserializeOwned>(path: &str) -> Result<T> {
    request("GET", path, None::<&()>, OTHERS)
}

/// An answer that is no JSON.
pub fn text(path: &str) -> Result<String> {
    answer("GET", path, String::new(), OTHERS)
}

fn path_of(host_link: &str) -> String {
    format!("/v1/endpoint/{host_link}")
}

/// A connection on which all together takes no longer than until the deadline, however slow the
/// other end is.
struct Connection {
    stream: UnixStream,
    deadline: Option<Instant>,
}

impl Connection {
    fn open(patience: Duration) -> Result<Self> {
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // connect(2) waits while the listener's queue is full, and as long as a write may.
        let patience_left = TimeVal::new(patience.as_secs().try_into()?, 0);
        setsockopt(&fd, sockopt::SendTimeout, &patience_left)?;
        let deadline = Some(Instant::now() + patience);
        let connected = connect(fd.as_raw_fd(), &UnixAddr::new(SOCKET)?).map_err(io::Error::from);
        connected.with_context(|| format!("cannot reach ebpf-agent at {SOCKET}; does it run?"))?;
        Ok(Self { stream: fd.into(), deadline })
    }

    /// What is left of the patience.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.map(|it| it.saturating_duration_since(Instant::now()));
        if left.is_some_and(|it| it.is_zero()) { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// HTTP/1.0: the answer ends with the connection, so there is nothing to parse but the status.
fn request<T: DeserializeOwned>(
    method: &str,
    path: &str,
    body: Option<&impl Serialize>,
    patience: Duration,
) -> Result<T> {
    let body = body.map(serde_json::to_string).transpose()?.unwrap_or_default();
    let answer = answer(method, path, body, patience)?;
    serde_json::from_str(&answer).with_context(|| format!("ebpf-agent answered {answer:?}"))
}

/// The body of an answer that says yes.
fn answer(method: &str, path: &str, body: String, patience: Duration) -> Result<String> {
    let mut connection = Connection::open(patience)?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n");
    let sent = write!(connection, "{head}Content-Length: {length}\r\n\r\n{body}");
    let mut answer = String::new();
    sent.and_then(|()| connection.take(LONGEST).read_to_string(&mut answer))
        .with_context(|| format!("ebpf-agent did not answer {method} {path} in {patience:?}"))?;
    ensure!((answer.len() as u64) < LONGEST, "ebpf-agent's answer to {method} {path} has no end");
    let (head, body) = answer.split_once("\r\n\r\n").context("ebpf-agent's answer is no HTTP")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let is_whole = length.is_none_or(|length| length == body.len().to_string());
    ensure!(is_whole, "ebpf-agent's answer to {method} {path} breaks off; does it still run?");
    let status = status_of(head).context("ebpf-agent's answer is no HTTP")?;
    if status != OK {
        let problem = serde_json::from_str::<Problem>(body).map(|problem| problem.error);
        let first_line = || head.lines().next().unwrap_or_default().to_string();
        let error = problem.unwrap_or_else(|_| first_line());
        bail!(Refused { status, body: body.into(), error });
    }
    Ok(body.to_string())
}

fn status_of(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

/// An answer that ends with the agent: its lines, as they come.
pub fn lines(path: &str) -> Result<impl Iterator<Item = io::Result<String>>> {
    let mut connection = Connection::open(OTHERS)?;
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut lines = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let length = lines.read_line(&mut head).context("ebpf-agent did not answer")?;
        ensure!(length > 0 && head.len() < 8192, "ebpf-agent answered {head:?}");
    }
    ensure!(status_of(&head) == Some(OK), "ebpf-agent answered {head:?}");
    lines.get_mut().deadline = None;
    Ok(lines.lines())
}
