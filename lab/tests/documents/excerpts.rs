//! Excerpts of code on the pages are the chapters' own: a comment above a block names file and
//! region, `<!-- excerpt: src/add.rs#add -->`, and the block holds what stands there now.
//!
//! `UPDATE=1 cargo test -p lab --test documents` takes them from the sources again.

use std::sync::Once;
use std::{env, fs};

use crate::console::with_bodies;
use crate::links::joined;
use crate::markdown::{Fence, split};
use crate::regions::region;
use crate::repository::{Document, english, root};
use crate::translations;

/// The comment above a block: a path from the document's folder, and a region.
pub fn excerpt(line: &str) -> Option<(&str, &str)> {
    let text = line.trim().strip_prefix("<!-- excerpt:")?.strip_suffix("-->")?;
    Some(text.trim().split_once('#').unwrap_or((text.trim(), "")))
}

/// Each excerpt's line, its block, and what should be in the block.
fn wanted<'a>(document: &'a Document) -> Result<Vec<(Fence<'a>, Vec<String>)>, String> {
    let (fences, prose) = split(&document.text);
    let excerpts = prose.into_iter().filter_map(|(line, text)| Some((line, excerpt(text)?)));
    let one = |(line, (path, name)): (usize, (&str, &str))| {
        let place = format!("{}:{line}", document.path);
        let Some(fence) = fences.iter().find(|fence| fence.line == line + 1) else {
            return Err(format!("{place}: a code block must begin in the next line"));
        };
        let file = joined(document.folder(), path);
        let text = fs::read_to_string(root().join(&file))
            .map_err(|error| format!("{place}: {file}: {error}"))?;
        let lines = region(&text, name).map_err(|why| format!("{place}: {file} {why}"))?;
        Ok((fence.clone(), without_indentation(&lines)))
    };
    excerpts.map(one).collect()
}

/// As far to the left as they go together.
fn without_indentation(lines: &[&str]) -> Vec<String> {
    let indentation = |line: &&&str| line.len() - line.trim_start().len();
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let common = filled.map(|line| indentation(&line)).min().unwrap_or(0);
    lines.iter().map(|line| line.get(common..).unwrap_or_default().to_string()).collect()
}

/// Takes all of them from the sources, once and before any other update: each writes whole pages.
pub fn update() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for document in english() {
            let Ok(new) = differing(&document) else { continue }; // the test says why
            if !new.is_empty() {
                let text = with_bodies(&document.text, &new);
                fs::write(root().join(&document.path), &text).unwrap();
                translations::follow(&document, &text);
            }
        }
    });
}

fn differing(document: &Document) -> Result<Vec<(Fence<'_>, Vec<String>)>, String> {
    let mut excerpts = wanted(document)?;
    excerpts.retain(|(fence, lines)| fence.body != *lines);
    Ok(excerpts)
}

#[test]
fn the_pages_show_the_code_as_it_is() {
    if env::var_os("UPDATE").is_some() {
        update();
    }
    let (mut wrong, mut excerpts) = (Vec::new(), 0);
    for document in english() {
        excerpts += wanted(&document).map_or(0, |all| all.len());
        match differing(&document) {
            Err(why) => wrong.push(why),
            Ok(new) => wrong.extend(new.iter().map(|(fence, _)| {
                format!("{}:{}: this is not what its source says", document.path, fence.line)
            })),
        }
    }
    assert!(
        wrong.is_empty(),
        "\n\n{}\n\nUPDATE=1 cargo test -p lab --test documents takes it from the source.\n",
        wrong.join("\n")
    );
    assert!(excerpts >= 5, "{excerpts} excerpts: is this still their comment?");
}

#[test]
fn an_excerpt_that_is_not_its_region_is_found() {
    let page = |text: &str| Document { path: "chapters/X.md".into(), text: text.into() };
    let differs = |text: &str| differing(&page(text)).map(|all| all.len());
    let comment = "<!-- excerpt: ch1-basic-cni/src/netns.rs#enter -->";
    let good = page(&format!("{comment}\n```rust\n```\n"));
    let good = with_bodies(&good.text, &differing(&good).unwrap());
    assert!(good.contains("\npub fn enter<T>(&self"), "{good}");
    assert_eq!(differs(&good), Ok(0));
    assert_eq!(differs(&good.replace("setns(&self.own", "setns(&self.pod")), Ok(1));
    let why = |text: &str| differs(text).unwrap_err();
    assert!(why(&good.replace("#enter", "#none")).contains("has no region none"));
    assert!(why(&good.replace("netns.rs", "none.rs")).contains("No such file"));
    assert!(why(&format!("{comment}\n\ntext\n")).contains("must begin in the next line"));
}
