//! Every link leads somewhere, and files, regions and scripts that documents name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::markdown::{Token, anchors, split, tokens};
use crate::regions;
use crate::repository::{Document, all, files, root};

/// Made by a build.
const GENERATED: [&str; 1] = ["vmlinux.h"];

/// All that is wrong with the links and names of a document.
fn wrong(document: &Document, files: &BTreeSet<String>) -> Vec<String> {
    let mut all = Vec::new();
    for (line, text) in split(&document.text).1 {
        let mut file = None; // that the line speaks of: its regions follow it
        for token in tokens(text) {
            let found = match token {
                Token::Link(link) => {
                    file = Some(joined(document.folder(), link));
                    dead(document, link, files)
                }
                Token::Code(code) => missing(document, code, &mut file, files),
            };
            all.extend(found.map(|why| format!("{}:{line}: {why}", document.path)));
        }
    }
    all
}

/// Why a link leads nowhere, if it does.
fn dead(document: &Document, link: &str, files: &BTreeSet<String>) -> Option<String> {
    static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^https?://[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/[\w~%.,+=&?#/@-]*)?$").unwrap()
    });
    if link.contains("://") {
        let why = || format!("{link} is no address of the Web");
        return (!ADDRESS.is_match(&link.to_lowercase())).then(why);
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, it)| (path, Some(it)));
    let target =
        if path.is_empty() { document.path.clone() } else { joined(document.folder(), path) };
    // Translations: `translations.rs` says which there must be.
    if target.ends_with(".zh-TW.md") && !files.contains(&target) {
        return None;
    }
    if !files.contains(&target) && !root().join(&target).is_dir() {
        return Some(format!("the link to {link} is dead: there is no {target}"));
    }
    let anchor = anchor?;
    if !target.ends_with(".md") {
        return Some(format!("the link to {link}: #{anchor} works for documents only"));
    }
    let text =
        if target == document.path { document.text.clone() } else { Document::read(&target).text };
    let anchors = anchors(&text);
    let known = anchors.iter().any(|it| it == anchor);
    (!known).then(|| {
        format!(
            "the link to {link} is dead: {target} has only these headings: {}",
            anchors.join(", ")
        )
    })
}

/// A path below the root, from a folder and a relative path.
pub fn joined(folder: &str, path: &str) -> String {
    let mut parts = PathBuf::new();
    for part in Path::new(folder).join(path).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts.to_str().unwrap().into()
}

/// Why a file, region or script in backticks is none. A region is of the file before it.
fn missing(
    document: &Document,
    code: &str,
    file: &mut Option<String>,
    files: &BTreeSet<String>,
) -> Option<String> {
    static FILE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(\w[\w.-]*/)*\w[\w.-]*\.(rs|c|h|sh|bats|bash|toml|yaml|diff|conf|md|mjs)$")
            .unwrap()
    });
    static SCRIPT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bscripts/[\w-]+").unwrap());
    let script = SCRIPT.find_iter(code).find(|it| !files.contains(it.as_str()));
    if let Some(script) = script {
        return Some(format!("`{code}`: there is no {}", script.as_str()));
    }
    if FILE.is_match(code) && !GENERATED.contains(&code) {
        *file = named(document, code, files);
        let why = || format!("`{code}`: no file of this name belongs to this document");
        return file.is_none().then(why);
    }
    let region = code.strip_prefix("#region ")?;
    let source = file.as_ref().and_then(|file| fs::read_to_string(root().join(file)).ok());
    let Some(source) = source else {
        return Some(format!("`{code}`: the line must name its file before it"));
    };
    let file = file.as_deref().unwrap_or_default();
    let why = regions::region(&source, region).err()?;
    Some(format!("`{code}`: {file} {why}"))
}

/// The file that a document means: from its own folder, from the root, or by the end of its path
/// in the document's folder (in the whole repository for the documents outside of chapters).
fn named(document: &Document, name: &str, files: &BTreeSet<String>) -> Option<String> {
    let from_root = || files.contains(name).then(|| name.to_string());
    let chapter = document.path.split('/').take(2).collect::<Vec<_>>().join("/") + "/";
    let place = if chapter.starts_with("chapters/") { chapter } else { String::new() };
    let end = format!("/{name}");
    let is_it = |file: &&String| file.starts_with(&place) && file.ends_with(&end);
    from_root().or_else(|| files.iter().find(is_it).cloned())
}

fn every_file() -> BTreeSet<String> {
    files().into_iter().collect()
}

#[test]
fn links_lead_somewhere_and_named_code_exists() {
    let files = every_file();
    let wrong: Vec<_> = all().iter().flat_map(|document| wrong(document, &files)).collect();
    assert!(wrong.is_empty(), "\n\n{}\n\nMend the document, or what it names.\n", wrong.join("\n"));
}

#[test]
fn what_is_not_there_is_found() {
    let files = every_file();
    let complaints = |text: &str| {
        let path = "chapters/ch1-basic-cni/README.md".into();
        wrong(&Document { path, text: text.into() }, &files).join("\n")
    };
    let good = "# Head\n[a](src/add.rs) [b](../../README.md) [c](#head) [d](https://rustup.rs) [e](tests)\n\
                [`add.rs`](src/add.rs) `#region add`, `src/veth.rs`, `protocol.rs`, `scripts/demo ch1`";
    assert_eq!(complaints(good), "");
    assert!(
        complaints("\n[a](src/none.rs)").contains("README.md:2: the link to src/none.rs is dead")
    );
    assert!(complaints("[a](#none)").contains("has only these headings"));
    assert!(complaints("[a](../../README.md#none)").contains("dead"));
    assert!(complaints("[a](https://no host)").is_empty(), "that is no link in Markdown");
    assert!(complaints("[a](https://nohost)").contains("no address"));
    assert!(complaints("`none.rs`").contains("no file of this name"));
    assert!(complaints("`tc.rs`").contains("no file of this name"), "chapter 2's");
    assert!(complaints("`add.rs` `#region none`").contains("has no region none"));
    assert!(complaints("`#region add`").contains("must name its file"));
    assert!(complaints("run `./scripts/none ch1`").contains("there is no scripts/none"));
}
