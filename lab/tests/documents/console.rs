//! The blocks of commands: ```` ```console ````, each command on a line that begins with `$ `,
//! below it what it prints. A word behind `console` says where a block runs instead.

use crate::markdown::{Fence, split};
use crate::repository::Document;

/// Where the commands of a block run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On a lab node of the document's own: a block without a mark.
    Lab,
    /// On the node that `scripts/cluster` makes.
    Cluster,
    /// Around and in the VM.
    Vm,
    /// Nowhere by itself: too long, or for eyes and hands.
    ByHand,
}

/// One command and what the document says it prints.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Of the command.
    pub line: usize,
    pub command: String,
    /// Of the output: the first one's number, and how many.
    pub output_line: usize,
    pub expected: Vec<String>,
}

/// A block of commands.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub line: usize,
    pub place: Place,
    pub steps: Vec<Step>,
}

/// The blocks of a document, or what is wrong with one.
pub fn blocks(document: &Document) -> Result<Vec<Block>, String> {
    let (fences, _) = split(&document.text);
    let blocks = fences.iter().filter_map(|fence| block(fence).transpose());
    blocks.map(|block| block.map_err(|why| format!("{}:{why}", document.path))).collect()
}

fn block(fence: &Fence) -> Result<Option<Block>, String> {
    let place = match fence.info {
        "console" => Place::Lab,
        "console cluster" => Place::Cluster,
        "console vm" => Place::Vm,
        "console by-hand" => Place::ByHand,
        "sh" | "bash" | "shell" => {
            return Err(format!(
                "{}: a block of commands is ```console, with `$ ` before each command and its \
                 output below it: so that it can be run",
                fence.line
            ));
        }
        info if info.starts_with("console") => {
            return Err(format!(
                "{}: ```{info}: there is no such mark; there are `console` (run on the lab), \
                 `console cluster`, `console vm` and `console by-hand`",
                fence.line
            ));
        }
        _ => return Ok(None),
    };
    Ok(Some(Block { line: fence.line, place, steps: steps(fence)? }))
}

fn steps(fence: &Fence) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, text) in (fence.line + 1..).zip(&fence.body) {
        // A story shows the commands that it runs: they are its output.
        let story = steps.last().is_some_and(|step| step.command.starts_with("./scripts/demo"));
        match (text.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) if !story => steps.push(Step {
                line,
                command: command.into(),
                output_line: line + 1,
                expected: Vec::new(),
            }),
            (_, None) => return Err(format!("{line}: the first line must be a command: `$ …`")),
            // A shell asks for more of a command by `> `.
            (_, Some(step)) if step.expected.is_empty() && text.starts_with("> ") => {
                step.command = format!("{}\n{}", step.command, &text[2..]);
                step.output_line = line + 1;
            }
            (_, Some(step)) => step.expected.push((*text).into()),
        }
    }
    if steps.is_empty() { Err(format!("{}: no command", fence.line)) } else { Ok(steps) }
}

/// A document with new output below some of its commands.
pub fn with_outputs(text: &str, new: &[(Step, Vec<String>)]) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for (step, output) in new.iter().rev() {
        let from = step.output_line - 1;
        lines.splice(from..from + step.expected.len(), output.iter().cloned());
    }
    lines.join("\n") + "\n"
}

/// A document with new lines in some of its blocks.
pub fn with_bodies(text: &str, new: &[(Fence, Vec<String>)]) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for (fence, body) in new.iter().rev() {
        lines.splice(fence.line..fence.line + fence.body.len(), body.iter().cloned());
    }
    lines.join("\n") + "\n"
}

#[test]
fn commands_and_their_outputs_are_found() {
    let text = "a\n```console\n$ b\nc\n$ d \\\n> e\n```\n```console cluster\n$ f\n```\n```text\n$ g\n```\n";
    let document = Document { path: "X.md".into(), text: text.into() };
    let found = blocks(&document).unwrap();
    assert_eq!((found.len(), found[0].place, found[1].place), (2, Place::Lab, Place::Cluster));
    let step = |line, command: &str, output_line, expected: &[&str]| {
        let expected = expected.iter().map(|line| (*line).into()).collect();
        Step { line, command: command.into(), output_line, expected }
    };
    assert_eq!(found[0].steps, [step(3, "b", 4, &["c"]), step(5, "d \\\ne", 7, &[])]);

    let new: Vec<_> = found[0].steps.iter().map(|step| (step.clone(), vec!["x".into()])).collect();
    let changed = with_outputs(text, &new);
    assert_eq!(changed, text.replace("\nc\n", "\nx\n").replace("> e\n", "> e\nx\n"));
}

#[test]
fn a_mark_that_there_is_not_is_an_error() {
    let wrong = |text: &str| blocks(&Document { path: "X.md".into(), text: text.into() });
    assert!(
        wrong("```console slow\n$ a\n```\n")
            .unwrap_err()
            .contains("X.md:1: ```console slow: there is no")
    );
    assert!(wrong("```bash\na\n```\n").unwrap_err().contains("X.md:1"));
    assert!(wrong("```console\na\n```\n").unwrap_err().contains("X.md:2: the first line"));
}
