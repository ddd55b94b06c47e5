//! The numbers in the slides' drawings are those of a document. slides/figures.json names it and
//! the sentence, or the table's row, in which a number stands: `"says": "docs/figures.md: some {}
//! ms"`, with `{}` for the number and `…` for anything up to a line's, or a table cell's end.

use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::repository::root;

/// Numbers of pods, which the slides' own check compares.
const IDENTITIES: &str = "identities";

/// Does a document say this number?
fn is_said(number: &Value, says: &str) -> Result<(), String> {
    let (path, sentence) = says.split_once(": ").ok_or("says no document: PATH: SENTENCE")?;
    if !sentence.contains("{}") {
        return Err(format!("{sentence} has no place for a number: {{}}"));
    }
    let text = fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
    let pattern = regex::escape(sentence)
        .replace('…', r"[^|\n]*?")
        .replace(r"\{\}", &format!(r"\b{}\b", regex::escape(&number.to_string())));
    match Regex::new(&pattern).unwrap().is_match(&text) {
        true => Ok(()),
        false => {
            Err(format!("{path} does not say: {}", sentence.replace("{}", &number.to_string())))
        }
    }
}

/// What is wrong with the numbers below a value of the file, which stands at `path`.
fn wrong(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let of = |(key, member): (&String, &Value)| {
                let path = format!("{path}.{key}");
                let says = match &members.get("says") {
                    Some(Value::Object(each)) => each.get(key).and_then(Value::as_str),
                    Some(all) => all.as_str(),
                    None => None,
                };
                match (member, says) {
                    (Value::Number(_), Some(says)) => is_said(member, says)
                        .err()
                        .map(|why| vec![format!("{path}: {why}")])
                        .unwrap_or_default(),
                    (Value::Number(_), None) => {
                        vec![format!("{path}: no `says`: where does {member} stand?")]
                    }
                    _ => wrong(&path, member),
                }
            };
            members.iter().flat_map(of).collect()
        }
        Value::Array(items) => {
            (0..).zip(items).flat_map(|(i, item)| wrong(&format!("{path}[{i}]"), item)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_slides_figures_are_those_of_the_documents() {
    let text = fs::read_to_string(root().join("slides/figures.json")).unwrap();
    let Value::Object(mut figures) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
    figures.remove(IDENTITIES);
    assert!(!figures.is_empty());
    let wrong = wrong("figures.json", &Value::Object(figures));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_number_is_an_error() {
    let check = |json: &str| wrong("f", &serde_json::from_str(json).unwrap());
    let says = r#""says": {"a": "docs/figures.md: Linux {},", "b": "docs/figures.md: | ADD beside {} pods | … |"}"#;
    assert_eq!(check(&format!(r#"{{"a": 6.18, "b": 100, {says}}}"#)), [""; 0]);
    let part = r#""says": {"a": "docs/figures.md: {} bytes of instructions"}"#;
    assert_eq!(check(&format!(r#"{{"a": 144, {part}}}"#)), [""; 0]);
    assert_eq!(check(&format!(r#"{{"a": 44, {part}}}"#)).len(), 1);
    let found = check(&format!(r#"{{"a": 6.2, "b": 101, "c": [{{"d": 1}}], {says}}}"#));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[2].contains("f.c[0].d: no `says`"), "{found:?}");
    let elsewhere = r#"{"a": 1, "says": "docs/none.md: {}"}"#;
    assert!(check(elsewhere)[0].contains("No such file"));
}
