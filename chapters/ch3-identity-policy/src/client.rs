//! Asking the agent: one request, one answer, with a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{EndpointStatus, NewEndpoint, Problem, SOCKET};
use crate::error::{CniError, code};

/// ADD waits for the maps; the agent itself gives up a little earlier, and says why.
const ADD: Duration = Duration::from_secs(10);
/// The other commands ask for what is known, or leave word.
const OTHERS: Duration = Duration::from_secs(2);

/// PUT: answers when the maps are ready for the endpoint. Error 11 if the agent is not there or
/// does not know the pod yet: the runtime tries again.
pub fn put(host_link: &str, new: &NewEndpoint) -> Result<()> {
    request::<EndpointStatus>("PUT", &path_of(host_link), Some(new), ADD).map(drop).map_err(
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

/// STATUS: is the agent there and ready?
pub fn healthz() -> Result<()> {
    get::<serde_json::Value>("/v1/healthz").map(drop)
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

fn connect(deadline: Duration) -> Result<UnixStream> {
    let stream = UnixStream::connect(SOCKET)
        .with_context(|| format!("cannot reach ebpf-agent at {SOCKET}; does it run?"))?;
    stream.set_read_timeout(Some(deadline))?;
    stream.set_write_timeout(Some(deadline))?;
    Ok(stream)
}

/// HTTP/1.0: the answer ends with the connection, so there is nothing to parse but the status.
fn request<T: DeserializeOwned>(
    method: &str,
    path: &str,
    body: Option<&impl Serialize>,
    deadline: Duration,
) -> Result<T> {
    let body = body.map(serde_json::to_string).transpose()?.unwrap_or_default();
    let answer = answer(method, path, body, deadline)?;
    serde_json::from_str(&answer).with_context(|| format!("ebpf-agent answered {answer:?}"))
}

/// The body of an answer that says yes.
fn answer(method: &str, path: &str, body: String, deadline: Duration) -> Result<String> {
    let mut stream = connect(deadline)?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n");
    let sent = write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}");
    let mut answer = String::new();
    sent.and_then(|()| stream.read_to_string(&mut answer))
        .with_context(|| format!("ebpf-agent did not answer {method} {path} in {deadline:?}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("ebpf-agent's answer is no HTTP")?;
    if head.split(' ').nth(1) != Some("200") {
        let problem = serde_json::from_str::<Problem>(body).map(|problem| problem.error);
        bail!(problem.unwrap_or_else(|_| head.lines().next().unwrap_or_default().to_string()));
    }
    Ok(body.to_string())
}

/// An answer that does not end: its lines, as they come.
pub fn lines(path: &str) -> Result<impl Iterator<Item = std::io::Result<String>>> {
    let mut stream = connect(OTHERS)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    stream.set_read_timeout(None)?;
    let mut lines = BufReader::new(stream).lines();
    let head: Vec<_> =
        lines.by_ref().map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
    match head.first().and_then(|line| line.split(' ').nth(1)) {
        Some("200") => Ok(lines),
        _ => bail!("ebpf-agent answered {head:?}"),
    }
}
