//! One call of a CNI plugin: environment and stdin in, stdout and exit status out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write as _};
use std::process::{Child, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::node::{CNI_BIN, Node};
use crate::sandbox::Sandbox;

/// A call, with exactly the environment that is set here.
#[derive(Debug, Clone)]
pub struct CniCall {
    env: BTreeMap<OsString, OsString>,
    stdin: Vec<u8>,
    program: String,
}

/// What came of it.
#[derive(Debug)]
pub struct CniOutput {
    /// Zero if the plugin succeeded.
    pub status: ExitStatus,
    /// A result, an error, or nothing.
    pub stdout: Vec<u8>,
    /// Free text for people.
    pub stderr: String,
}

impl CniCall {
    /// `CNI_COMMAND` and nothing else.
    pub fn new(command: &str) -> Self {
        let program = format!("{CNI_BIN}/ebpfcni");
        Self { env: BTreeMap::new(), stdin: Vec::new(), program }.env("CNI_COMMAND", command)
    }

    /// A call that is for the node, of one plugin of its configuration.
    pub(crate) fn of_node(command: &str, plugin: &str, input: &Value) -> Self {
        Self::new(command)
            .program(format!("{CNI_BIN}/{plugin}"))
            .env("CNI_PATH", CNI_BIN)
            .stdin(input.to_string())
    }

    /// A pod's call with the usual environment, for `eth0`.
    fn pod(command: &str, sandbox: &Sandbox, conf: &Value) -> Self {
        Self::new(command)
            .env("CNI_CONTAINERID", sandbox.id())
            .env("CNI_NETNS", sandbox.netns())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", CNI_BIN)
            .stdin(conf.to_string())
    }

    /// ADD for a sandbox.
    pub fn add(sandbox: &Sandbox, conf: &Value) -> Self {
        Self::pod("ADD", sandbox, conf)
    }

    /// DEL for a sandbox.
    pub fn del(sandbox: &Sandbox, conf: &Value) -> Self {
        Self::pod("DEL", sandbox, conf)
    }

    /// CHECK for a sandbox; `conf` must hold `prevResult`.
    pub fn check(sandbox: &Sandbox, conf: &Value) -> Self {
        Self::pod("CHECK", sandbox, conf)
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().into());
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    /// Sets what the plugin reads.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// What the plugin will read.
    pub fn input(&self) -> &[u8] {
        &self.stdin
    }

    /// Which plugin failed in what, as libcni says it: an error result does not name its plugin.
    pub(crate) fn failed(&self) -> String {
        let plugin = self.program.rsplit('/').next().unwrap_or_default();
        let command = self.env.get(OsStr::new("CNI_COMMAND")).map(|it| it.to_string_lossy());
        format!("plugin type={plugin:?} failed ({})", command.unwrap_or_default().to_lowercase())
    }

    /// Calls this program instead of `/opt/cni/bin/ebpfcni`.
    #[must_use]
    pub fn program(mut self, path: impl Into<String>) -> Self {
        self.program = path.into();
        self
    }
}

impl Node {
    /// Calls the plugin inside the node and waits for it.
    pub fn cni(&self, call: &CniCall) -> Result<CniOutput> {
        let mut child = self.start_cni(call, &[])?;
        feed(&mut child, &call.stdin)?;
        let output = child.wait_with_output().context("cannot wait for the plugin")?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(CniOutput { status: output.status, stdout: output.stdout, stderr })
    }

    /// Starts the plugin behind another program (`strace …`, or none) without waiting.
    /// stdin is a pipe that the caller feeds.
    pub fn start_cni(&self, call: &CniCall, wrapper: &[&str]) -> Result<Child> {
        let mut argv = wrapper.to_vec();
        argv.push(&call.program);
        self.command(argv[0])
            .args(&argv[1..])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(&call.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run the plugin {}", call.program))
    }
}

/// Writes all of stdin and closes it. A plugin may end without reading it.
pub fn feed(child: &mut Child, stdin: &[u8]) -> Result<()> {
    let mut pipe = child.stdin.take().context("the plugin's stdin is no pipe")?;
    match pipe.write_all(stdin) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the plugin's stdin")
        }
        _ => Ok(()),
    }
}

impl CniOutput {
    /// Did the plugin exit with 0?
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// stdout, which must be one JSON document.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.stdout)
            .with_context(|| format!("no JSON: {:?}", String::from_utf8_lossy(&self.stdout)))
    }

    /// The plugin's error result, or what it said instead of one.
    pub(crate) fn error(&self) -> Value {
        let said = || {
            let stdout = String::from_utf8_lossy(&self.stdout).into_owned();
            json!({ "msg": format!("plugin failed without an error result ({})", self.status),
                    "details": format!("{stdout}{}", self.stderr) })
        };
        self.json().ok().filter(Value::is_object).unwrap_or_else(said)
    }

    /// The code of an error result.
    pub fn error_code(&self) -> Option<u64> {
        self.json().ok()?["code"].as_u64()
    }
}

/// An error result as a line.
pub(crate) fn text_of(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    match text("details") {
        "" => text("msg").into(),
        details => format!("{}: {details}", text("msg")),
    }
}
