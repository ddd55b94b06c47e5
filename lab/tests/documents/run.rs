//! Runs a document's commands in order, and compares.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::RwLock;

use crate::console::{Place, Step, blocks, with_outputs};
use crate::output::{difference, matches, updated};
use crate::repository::{Document, root};
use crate::translations;

/// In seconds. A command may have to build a chapter first.
const TIME_LIMIT: &str = "1200";

/// The same for an emulated VM.
const TIME_LIMIT_OF_VM: &str = "14400";

/// How often the API server of an emulated VM is asked: it may be too busy to answer.
const TRIES_IN_VM: usize = 5;

/// What the machine has one of, such as its trace: a test that writes there holds it alone.
pub static MACHINE: RwLock<()> = RwLock::new(());

/// Where one document's commands run: with a registry of nodes of its own, so its `node1` is
/// nobody else's. All of it goes with this value.
pub struct Scene {
    folder: PathBuf,
    place: Place,
}

impl Scene {
    pub fn new(document: &Document, place: Place) -> Self {
        let name = document.path.replace(['/', '.'], "-");
        let folder = format!("ebpfcni-documents-{}/{name}", std::process::id());
        let scene = Self { folder: std::env::temp_dir().join(folder), place };
        fs::create_dir_all(&scene.folder).unwrap();
        scene
    }

    /// What a command prints, stdout and stderr as they come, and whether it succeeds.
    pub fn run(&self, command: &str) -> (Vec<String>, bool) {
        let path = self.folder.join("output"); // no pipe: nobody waits for what it leaves running
        let output = File::create(&path).unwrap();
        let limit = if self.place == Place::Vm { TIME_LIMIT_OF_VM } else { TIME_LIMIT };
        let status = Command::new("timeout")
            .args(["--kill-after=10", limit, "bash", "-c", command])
            .current_dir(root())
            .env("LAB_REGISTRY", self.folder.join("nodes"))
            .envs([("LC_ALL", "C.UTF-8"), ("TERM", "dumb")])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .status()
            .unwrap();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        (text.lines().map(|line| plain(line.trim_end())).collect(), status.success())
    }

    /// Ends what is still there, and says what that was.
    fn clean_up(&self) -> Vec<String> {
        let (output, success) = self.run(match self.place {
            Place::Cluster => {
                "scripts/cluster shell true 2>/dev/null && echo the cluster; scripts/cluster down"
            }
            Place::Vm => "true", // its owner ends it
            Place::Lab | Place::ByHand => "scripts/lab down --all",
        });
        assert!(success, "cannot clean up: {output:?}");
        output
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.clean_up();
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_dir(self.folder.parent().unwrap()); // fails until it is the last one's
    }
}

/// Without colours.
pub fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |line, part| line + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// Runs the blocks of one place; returns what is wrong. With `update` it is corrected in the file.
pub fn check(document: &Document, place: Place, update: bool) -> Vec<String> {
    let blocks = match blocks(document) {
        Ok(blocks) => blocks,
        Err(why) => return vec![why],
    };
    let steps: Vec<Step> =
        blocks.into_iter().filter(|it| it.place == place).flat_map(|it| it.steps).collect();
    if steps.is_empty() {
        return Vec::new();
    }
    let scene = Scene::new(document, place);
    if place == Place::Cluster {
        scene.clean_up(); // each document begins without one
    }
    let (mut wrong, mut new) = (Vec::new(), Vec::new());
    for step in steps {
        let (mut seen, mut success) = scene.run(&step.command);
        let asks_api_server = place == Place::Vm && step.command.contains("'kubectl ");
        let tries = if asks_api_server { TRIES_IN_VM } else { 1 };
        for _ in 1..tries {
            if success || step.says_something() && matches(&step.expected, &seen) {
                break;
            }
            (seen, success) = scene.run(&step.command);
        }
        if success || update || step.says_something() {
            if matches(&step.expected, &seen) {
                continue;
            }
            if let Some(output) = update.then(|| updated(&step.expected, &seen)).flatten() {
                new.push((step, output));
                continue;
            }
        }
        wrong.push(complaint(document, &step, &seen, success));
    }
    let left = scene.clean_up();
    if !left.is_empty() {
        wrong.push(format!(
            "{}: its commands leave something behind: {}. Its last section should end it.",
            document.path,
            left.join(", ")
        ));
    }
    if !new.is_empty() {
        let text = with_outputs(&document.text, &new);
        fs::write(root().join(&document.path), &text).unwrap();
        translations::follow(document, &text);
    }
    wrong
}

impl Step {
    /// May fail: what it prints then stands in the document.
    fn says_something(&self) -> bool {
        self.expected.iter().any(|line| line.trim() != "[...]")
    }
}

fn complaint(document: &Document, step: &Step, seen: &[String], success: bool) -> String {
    let place = format!("{}:{}", document.path, step.line);
    if !success && !step.says_something() {
        let said = seen.join("\n  ");
        return format!(
            "{place}: this command fails, and the document does not say so:\n  $ {}\n  {said}",
            step.command
        );
    }
    format!(
        "{place}: this command prints (+) something else than the document says (-):\n  $ {}\n{}",
        step.command,
        difference(&step.expected, seen)
    )
}
