//! Every document has a translation beside it, of this very text.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::markdown::{Fence, Token, headings, split, tokens};
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
        if is_tree(fence) {
            continue; // its words are Chinese: the test says what no longer agrees
        }
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

/// A decision tree, drawn in a code block, is made of sentences: these are translated.
fn is_tree(fence: &Fence) -> bool {
    fence.info == "text" && fence.body.iter().any(|line| line.contains("├─"))
}

/// What a translation must keep of a tree: each line's branch, and all commands.
fn kept<'a>(tree: &Fence<'a>) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let branch = |line: &&'a str| &line[..line.len() - line.trim_start_matches(BRANCH).len()];
    let commands = tree.body.iter().flat_map(|line| tokens(line)).filter_map(|token| match token {
        Token::Code(code) => Some(code),
        Token::Link(_) => None,
    });
    (tree.body.iter().map(branch).collect(), commands.collect())
}

const BRANCH: [char; 5] = [' ', '│', '├', '└', '─'];

/// Is this block, in the translation, the other one?
fn same(one: &Fence, other: &Fence) -> bool {
    let of_words = is_tree(one) && is_tree(other);
    one.info == other.info && (one.body == other.body || of_words && kept(one) == kept(other))
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
    let differs = |(one, other): &(&Fence, &Fence)| !same(one, other);
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

#[test]
fn a_tree_is_translated_with_its_branches_and_commands() {
    let (english, chinese) = ("├─ yes: run `a b`\n└─ no", "├─ 是：執行 `a b`\n└─ 否");
    let fence = |text: &'static str| Fence { line: 1, info: "text", body: text.lines().collect() };
    assert!(same(&fence(english), &fence(chinese)));
    for bad in ["├─ 是：執行 `a c`\n└─ 否", "├─ 是：執行 `a b`\n  └─ 否", "├─ 是：執行 `a b`"]
    {
        assert!(!same(&fence(english), &fence(bad)), "{bad}");
    }
    assert!(!same(&fence("no tree"), &fence("不是樹")));
}
