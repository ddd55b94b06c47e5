//! The `lab` command with a node of the test's own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lab::{Node, registry};
use serde_json::Value;

use super::{AGENT, PLUGIN, conf, runs, wait_until};

/// The program.
pub const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// The command line with a node of this test's own; the node goes with this value.
pub struct Lab(pub String);

impl Lab {
    pub fn new(test: &str) -> Self {
        Self(format!("test-{test}-{}", std::process::id()))
    }

    /// With a node that has the recording plugin, and a configuration if `ready`.
    pub fn up(test: &str, ready: bool) -> Self {
        let lab = Self::new(test);
        lab.make();
        let plugin = "mkdir -p /run/fake/calls; install \"$0\" /opt/cni/bin/one";
        lab.ok(&["node-exec", "--", "sh", "-ec", plugin, PLUGIN]);
        if ready {
            lab.configure();
        }
        lab
    }

    /// `lab up none`. Not by `output`: should the holder keep its end of the pipe, that would hang.
    pub fn make(&self) {
        let mut up = self.command(&["up", "none"]);
        assert!(up.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    }

    pub fn configure(&self) {
        let write = "echo \"$0\" >/etc/cni/net.d/10-net.conf";
        self.ok(&["node-exec", "--", "sh", "-ec", write, &conf("1.0.0").to_string()]);
    }

    /// Puts the recording agent on the node, as installing a chapter would.
    pub fn give_agent(&self) {
        self.ok(&["node-exec", "--", "install", AGENT, lab::AGENT]);
    }

    /// The node as the library sees it, to look at it without a `lab` command.
    pub fn inside(&self) -> Node {
        registry::find(&self.0).unwrap().unwrap().node().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        command.args(["--node", &self.0]).args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// stdout of a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The sentence of a command that must fail.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(1), &b""[..]),
            "{args:?}"
        );
        sentence(&output)
    }

    /// The words of this node's line of `lab nodes -o wide`.
    pub fn node(&self) -> Vec<String> {
        let table = self.ok(&["nodes", "-o", "wide"]);
        assert!(table.starts_with("NAME "), "{table}");
        let mut rows = table.lines().map(words);
        rows.find(|row| row[0] == self.0).unwrap_or_default()
    }

    /// `lab pods` with these arguments, in words.
    pub fn pods(&self, args: &[&str]) -> Vec<Vec<String>> {
        self.ok(&[&["pods"], args].concat()).lines().map(words).collect()
    }

    pub fn entry(&self) -> PathBuf {
        PathBuf::from(format!("/run/ebpfcni-lab/{}.json", self.0))
    }

    pub fn holder(&self) -> u32 {
        let entry: Value = serde_json::from_slice(&fs::read(self.entry()).unwrap()).unwrap();
        entry["pid"].as_u64().unwrap().try_into().unwrap()
    }

    pub fn kill_holder(&self) {
        let holder = self.holder();
        assert!(Command::new("kill").args(["-9", &holder.to_string()]).status().unwrap().success());
        wait_until("the holder ends", || !runs(holder));
    }

    pub fn start_daemon(&self) -> u32 {
        let script = "setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $!";
        self.ok(&["node-exec", "--", "sh", "-c", script]).trim().parse().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.ok(&["down"]);
    }
}

/// A directory for a test's files, gone with this value.
pub struct Files(pub PathBuf);

impl Files {
    pub fn new(lab: &Lab) -> Self {
        let path = std::env::temp_dir().join(&lab.0);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    pub fn add(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().into()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The words of a table's line, or its cells if a cell has more than one word.
pub fn words(line: &str) -> Vec<String> {
    line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
}

/// The one line that a failed command says.
pub fn sentence(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let line = stderr.strip_prefix("error: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("no error line: {stderr:?}"));
    assert!(!line.contains('\n') && !line.is_empty(), "{line}");
    line.into()
}
