//! Every document has a translation beside it, of this very text.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::markdown::{headings, split};
use crate::repository::{Document, english, root};

/// The first 12 digits of a text's SHA-256.
fn hash_of(text: &str) -> String {
    let mut command = Command::new("sha256sum");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()[..12].into()
}

fn path_of_translation(document: &Document) -> String {
    document.path.replace(".md", ".zh-TW.md")
}

/// Code blocks of a document have changed, and nothing else: copies them into its translation, if
/// that was of the text as it was.
pub fn follow(before: &Document, now: &str) {
    let path = path_of_translation(before);
    if !root().join(&path).exists() {
        return;
    }
    let chinese = Document::read(&path);
    let (fences, others) = (split(now).0, split(&chinese.text).0);
    if split(&before.text).0.len() != others.len() {
        return; // the test says so
    }
    let mut lines: Vec<_> = chinese.text.lines().collect();
    for (fence, other) in fences.iter().zip(&others).rev() {
        lines.splice(other.line..other.line + other.body.len(), fence.body.iter().copied());
    }
    let text = lines.join("\n") + "\n";
    let text = text.replace(&mark(before, &hash_of(&before.text)), &mark(before, &hash_of(now)));
    fs::write(root().join(&path), text).unwrap();
}

/// By which a translation says of which text it is.
fn mark(english: &Document, hash: &str) -> String {
    format!("<!-- translation-of: {} sha256:{hash} -->", name(&english.path))
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What is wrong between a document and its translation.
fn wrong(english: &Document, chinese: &Document, hash: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (source, target) = (name(&english.path), name(&chinese.path));
    let mut line_of = |document: &Document, line: String| {
        if document.text.lines().next() != Some(&line) {
            wrong.push(format!("{}: its first line must be: {line}", document.path));
        }
    };
    line_of(english, format!("English | [繁體中文]({target})"));
    line_of(chinese, format!("[English]({source}) | 繁體中文"));
    let mark = mark(english, hash);
    if !chinese.text.lines().any(|line| line == mark) {
        wrong.push(format!(
            "{} is of an older {}: `git diff` of the latter shows what to translate. When it says \
             the same again, write into it: {mark}",
            chinese.path, english.path
        ));
    }
    let ((fences, prose), (other_fences, other_prose)) =
        (split(&english.text), split(&chinese.text));
    let levels = |prose| headings(prose).into_iter().map(|(_, level, _)| level).collect::<Vec<_>>();
    let (levels, other_levels) = (levels(&prose), levels(&other_prose));
    if levels != other_levels {
        wrong.push(format!(
            "{}: its headings have levels {other_levels:?}, those of {} {levels:?}",
            chinese.path, english.path
        ));
    }
    if fences.len() != other_fences.len() {
        let (number, other) = (fences.len(), other_fences.len());
        wrong.push(format!("{}: {other} code blocks, {} has {number}", chinese.path, english.path));
    }
    let differs = |(one, other): &(_, _)| {
        let (one, other): (&crate::markdown::Fence, &crate::markdown::Fence) = (*one, *other);
        (one.info, &one.body) != (other.info, &other.body)
    };
    if let Some((one, other)) = fences.iter().zip(&other_fences).find(differs) {
        wrong.push(format!(
            "{}:{}: this code block is not that of {}:{}: copy it, code is not translated",
            chinese.path, other.line, english.path, one.line
        ));
    }
    wrong
}

#[test]
fn every_document_is_translated_as_it_stands_now() {
    let mut all = Vec::new();
    for document in english() {
        let path = path_of_translation(&document);
        let hash = hash_of(&document.text);
        if root().join(&path).exists() {
            all.extend(wrong(&document, &Document::read(&path), &hash));
        } else {
            all.push(format!("{}: there is no translation {path} (hash {hash})", document.path));
        }
    }
    assert!(all.is_empty(), "\n\n{}\n", all.join("\n"));
}

#[test]
fn a_translation_that_falls_behind_is_found() {
    let document = |path: &str, text: &str| Document { path: path.into(), text: text.into() };
    let english =
        document("a/X.md", "English | [繁體中文](X.zh-TW.md)\n\n# One\n\n```text\ncode\n```\n");
    let good = "[English](X.md) | 繁體中文\n\n<!-- translation-of: X.md sha256:0123456789ab -->\n\n# 一\n\n```text\ncode\n```\n";
    let complaints =
        |text: &str| wrong(&english, &document("a/X.zh-TW.md", text), "0123456789ab").join("\n");
    assert_eq!(complaints(good), "");
    assert!(complaints(&good.replace("6789ab", "000000")).contains("is of an older a/X.md"));
    assert!(complaints(&good.replace("[English]", "[EN]")).contains("first line must be"));
    assert!(complaints(&good.replace("# 一", "## 一")).contains("headings"));
    assert!(
        complaints(&good.replace("\ncode", "\n程式碼")).contains("X.zh-TW.md:7: this code block")
    );
    assert!(complaints(&good.replace("```text\ncode\n```\n", "")).contains("0 code blocks"));
}
