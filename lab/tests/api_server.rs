//! node/api.sh: how the scripts ask an API server that is too busy to answer.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A kubectl that does what the file `script` says, call by call: `ok`, `no`, or `busy` as long as
/// the API server does not answer.
const KUBECTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
head -n1 script | grep -q busy && alive=1 || alive=0
case "$*" in
  *--raw=/livez*) [ $alive = 0 ] || sed -i 1d script; exit $alive ;;
esac
echo "$*" >>asked
what=$(head -n1 script)
sed -i 1d script
[ "$3" != - ] || cat >>read
case $what in
  no) echo "Error from server (NotFound)" >&2; exit 1 ;;
  busy*) echo "TLS handshake timeout" >&2; exit 1 ;;
  *) echo done ;;
esac
"#;

struct Scene(PathBuf);

impl Scene {
    /// The kubectl answers in this order.
    fn new(name: &str, answers: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("api-server-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("kubectl"), KUBECTL).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path.join("kubectl"), mode).unwrap();
        fs::write(path.join("sleep"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(path.join("sleep"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("script"), answers.join("\n") + "\n").unwrap();
        Self(path)
    }

    fn run(&self, patience: &str, script: &str) -> Output {
        let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/api.sh");
        let path = format!("{}:{}", self.0.display(), std::env::var("PATH").unwrap());
        let script = format!(". {}; {script}", api.display());
        let mut command = Command::new("bash");
        command.args(["-euc", &script]).env("PATH", path).env("PATIENCE", patience);
        command.output().unwrap()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(file)).unwrap_or_default();
        text.lines().map(String::from).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn who_does_not_answer_is_asked_again_and_a_no_is_a_no() {
    let s = Scene::new("busy", &["busy", "busy", "busy", "ok"]);
    let output = s.run("60", "kubectl get nodes");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"done\n");
    assert_eq!(s.lines("asked"), ["get nodes"; 2]);

    let s = Scene::new("no", &["no", "ok"]);
    assert_eq!(s.run("60", "kubectl get pod x").status.code(), Some(1));
    assert_eq!(s.lines("asked"), ["get pod x"]);
}

#[test]
fn what_comes_by_stdin_comes_once_more() {
    let s = Scene::new("stdin", &["busy", "busy", "ok"]);
    assert!(s.run("60", "kubectl apply -f - <<<object").status.success());
    assert_eq!(s.lines("read"), ["object"; 2]);
}

#[test]
fn patience_has_an_end() {
    let s = Scene::new("end", &["busy"; 100_000]);
    assert_eq!(s.run("1", "kubectl get nodes").status.code(), Some(1));
    let s = Scene::new("end-patiently", &["busy"; 100_000]);
    let output = s.run("1", "patiently false");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"gave up: false\n");
}

#[test]
fn what_may_be_done_twice_is_done_until_it_succeeds_or_is_wrong() {
    let s = Scene::new("twice", &["no", "no", "busy", "busy", "no", "ok"]);
    assert!(s.run("60", "patiently kubectl wait node").status.success());
    let s = Scene::new("wrong", &["no"; 20]);
    assert_eq!(s.run("60", "patiently kubectl wait node").status.code(), Some(1));
    assert_eq!(s.lines("asked").len(), 5);
}
