//! What the slides' terminals show is what the commands print: each command of a block, and each
//! line below it, stands so in a document, whose commands run, or in the recording of a demo. A
//! block without a command is what any one of them prints.
//!
//! A slide may leave lines out, cut them (`…`) and break them. A block of another cluster, or of
//! the talk, says so in a comment above it: `<!-- from: the talk -->`; with `(kubectl)` behind it,
//! only that block's commands which begin so.

use std::io::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::markdown::split;
use crate::repository::{Document, below};
use crate::shown::{Lost, Shown, commands, look_up, sources, spoken};

/// A terminal on a slide.
struct Terminal {
    slide: String,
    line: usize,
    /// Where it is from, if not from here.
    from: Option<String>,
    shown: Vec<Shown>,
}

static FROM: LazyLock<Regex> = LazyLock::new(|| Regex::new("<!-- from: (.+?) -->").unwrap());

/// The terminals of a page of the deck.
fn terminals(page: &str) -> Vec<Terminal> {
    let (fences, prose) = split(page);
    let mut found = Vec::new();
    for fence in fences {
        let before: Vec<_> = prose.iter().filter(|(number, _)| *number < fence.line).collect();
        // The lines since the block before, and the last one that opens or closes a terminal.
        let near = |text: &str| before.iter().rev().find(|(_, line)| line.contains(text));
        let opened = near("<div class=\"term\"").map_or(0, |(number, _)| *number);
        let closed = near("</div>").map_or(0, |(number, _)| *number);
        if opened <= closed {
            continue;
        }
        let lines: Vec<_> = fence.body.iter().map(|line| unmarked(line)).collect();
        let shown = match commands(lines.iter().copied()) {
            none if none.is_empty() => {
                let lines = lines.into_iter().map(String::from).collect();
                vec![Shown { command: String::new(), lines }]
            }
            shown => shown,
        };
        let above = before.iter().rev().map(|(_, line)| line.trim());
        let above =
            above.filter(|line| !line.is_empty() && !line.starts_with("<div class=\"term\""));
        let from = above.take(1).find_map(|line| Some(FROM.captures(line)?[1].to_string()));
        let title = before.iter().rev().find_map(|(_, line)| line.strip_prefix("# "));
        let slide = title.unwrap_or_default().to_string();
        found.push(Terminal { slide, line: fence.line, from, shown });
    }
    found
}

/// Without the mark by which a slide colours a line.
fn unmarked(line: &str) -> &str {
    let line = line.trim_end();
    line.strip_suffix(" ✓").or(line.strip_suffix(" ✗")).unwrap_or(line)
}

#[test]
fn the_slides_terminals_show_what_the_commands_print() {
    let sources = sources();
    let (mut found, mut elsewhere, mut wrong) = (0, Vec::new(), Vec::new());
    for path in below("slides/pages").iter().filter(|path| path.ends_with(".md")) {
        for Terminal { slide, line, from, shown } in terminals(&Document::read(path).text) {
            let only = from.as_deref().and_then(|from| from.split_once(" (")?.1.strip_suffix(')'));
            if let Some(from) = &from {
                elsewhere.push(format!("{slide} (from {from})"));
            }
            for command in shown {
                if from.is_some() && only.is_none_or(|only| command.command.starts_with(only)) {
                    continue;
                }
                match look_up(&command, &sources) {
                    Ok(()) => found += 1,
                    Err(lost) => {
                        wrong.push(format!(
                            "{path}:{line}: {slide}\n    $ {}\n    {lost}",
                            command.command
                        ));
                    }
                }
            }
        }
    }
    let line = format!(
        "slides: {found} commands looked up, {} terminals from elsewhere: {}\n",
        elsewhere.len(),
        elsewhere.join(", ")
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(
        wrong.is_empty(),
        "\n\n{}\n\nShow what a document or docs/casts prints below the command, or say above the \
         terminal where it is from: <!-- from: … -->\n",
        wrong.join("\n")
    );
    assert!(found > 0, "where are the slides' terminals?");
}

#[cfg(test)]
const PAGE: &str = r#"# Before

<!-- from: the talk -->

<div class="term">

```text
$ kubectl get pods
```

</div>

# A slide

<div class="term" style="margin: 0">

```text
$ lab pods -o wide  # in zh-TW
NAME …  IP
my-pod   0/1     Pending   0s    10.13.0.3 ✓
a long message that
    is broken ✗
$ tc filter \
  show dev veth0123456789a
```

</div>

```text
$ not a terminal
```
"#;

#[test]
fn terminals_are_found_with_their_slides() {
    let found = terminals(PAGE);
    assert_eq!((found.len(), found[0].from.as_deref()), (2, Some("the talk")));
    assert_eq!((found[1].slide.as_str(), found[1].from.as_deref()), ("A slide", None));
    assert_eq!(found[1].shown.len(), 2);
    assert_eq!(spoken(&found[1].shown[0].command), "pods -o wide");
    assert_eq!(spoken(&found[1].shown[1].command), "tc filter show dev VETH");
    assert_eq!(
        spoken("./scripts/lab node-exec -- tc filter show dev veth0123456789b"),
        "tc filter show dev VETH"
    );
}

#[test]
fn a_wrong_number_is_not_found() {
    let source = commands("$ ./scripts/lab pods -o wide\nNAME   READY   AGE   IP\nother 1/1 1s 10.13.0.30\nmy-pod 0/1 Pending 12m 10.13.0.3\na long message that is broken".lines());
    let shown = terminals(PAGE).remove(1).shown.remove(0);
    assert_eq!(look_up(&shown, &source), Ok(()));
    let with = |from: &str, to: &str| {
        let lines = shown.lines.iter().map(|line| line.replace(from, to)).collect();
        look_up(&Shown { command: shown.command.clone(), lines }, &source)
    };
    for (right, wrong) in [
        ("10.13.0.3", "10.13.0.4"),
        ("10.13.0.3", "10.13.0.30"),
        ("0/1", "1/1"),
        ("broken", "brok"),
        ("NAME", "IP"),
    ] {
        assert!(matches!(with(right, wrong), Err(Lost::Line(_, 1))), "{wrong}");
    }
    assert_eq!(with("0s", "59s"), Ok(())); // ages are masked
    let other = Shown { command: "lab nodes".into(), ..shown.clone() };
    assert_eq!(look_up(&other, &source), Err(Lost::Command));
    let short = |lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).into()).collect();
        look_up(&Shown { command: "lab pods".into(), lines }, &source)
    };
    assert_eq!((short(&[]), short(&["NAME"])), (Ok(()), Err(Lost::Command)));
    let any = |lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).into()).collect();
        look_up(&Shown { command: String::new(), lines }, &source)
    };
    assert_eq!(any(&["NAME", "other 1/1"]), Ok(()));
    assert_eq!(any(&["NAME", "other 1/2"]), Err(Lost::Line("other 1/2".into(), 1)));
}
