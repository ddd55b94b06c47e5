//! The slides take their code from the chapters by region. Slidev shows a whole file, and is
//! content, where a region is missing or open: so the regions are checked here, without Node.js.

use std::fs;

use crate::regions::region;
use crate::repository::{Document, below, root};

/// A line of the deck that imports code: `<<< @/chapters/FILE#REGION LANGUAGE {HIGHLIGHTS}`.
#[derive(Debug)]
struct Import {
    file: String,
    region: Option<String>,
    highlights: String,
}

fn import(line: &str) -> Option<Import> {
    let mut words = line.trim_start().strip_prefix("<<<")?.split_whitespace();
    let target = words.next().unwrap_or_default();
    let (file, region) = match target.split_once('#') {
        Some((file, region)) => (file, Some(region.to_string())),
        None => (target, None),
    };
    let file = file.strip_prefix("@/").unwrap_or(file).to_string();
    let highlights = words.find(|word| word.starts_with('{')).unwrap_or_default();
    Some(Import { file, region, highlights: highlights.to_string() })
}

impl Import {
    /// The lines that it shows, if there are those that it wants to show and highlight.
    fn check(&self) -> Result<Vec<String>, String> {
        if !self.file.starts_with("chapters/") {
            return Err(format!("{} is not in chapters/", self.file));
        }
        let text = fs::read_to_string(root().join(&self.file))
            .map_err(|error| format!("{}: {error}", self.file))?;
        let lines = match &self.region {
            Some(name) => region(&text, name).map_err(|why| format!("{}: {why}", self.file))?,
            None => text.lines().collect(),
        };
        let lines = shown(&lines);
        let last = self.highlighted().max().unwrap_or(0);
        if last > lines.len() {
            return Err(format!("{} highlights line {last} of {}", self.file, lines.len()));
        }
        if let Some(line) = self.highlighted().find(|line| lines[line - 1].trim().is_empty()) {
            return Err(format!("{} highlights line {line}, which is empty", self.file));
        }
        Ok(lines)
    }

    fn highlighted(&self) -> impl Iterator<Item = usize> {
        let numbers = self.highlights.split(|c: char| !c.is_ascii_digit());
        numbers.filter_map(|number| number.parse().ok())
    }

    /// Does the label above the code name it?
    fn is_named_by(&self, label: &str) -> bool {
        let mut parts = self.file.trim_start_matches("chapters/").splitn(2, '/');
        let region = self.region.as_ref().is_none_or(|name| {
            label.split_whitespace().any(|word| word.strip_prefix('#') == Some(name))
        });
        parts.all(|part| label.contains(part)) && region
    }
}

/// The lines of a region as a slide shows them: without comments that have lines of their own, as
/// slides/setup/shiki.ts leaves them out.
fn shown(lines: &[&str]) -> Vec<String> {
    let (mut all, mut inside) = (Vec::new(), false);
    for line in lines {
        let text = line.trim();
        inside |= text.starts_with("/*");
        if !inside && !text.starts_with("//") {
            all.push((*line).to_string());
        }
        inside &= !text.ends_with("*/");
    }
    all
}

/// The deck's files.
fn deck() -> Vec<Document> {
    let paths = below("slides").into_iter().filter(|path| path.ends_with(".md"));
    let deck: Vec<_> = paths.map(|path| Document::read(&path)).collect();
    assert!(deck.len() > 1, "where are the slides? {deck:?}");
    deck
}

#[test]
fn the_slides_show_regions_that_there_are() {
    let (mut imports, mut wrong) = (0, Vec::new());
    for Document { path, text } in deck() {
        let mut before: Option<(usize, Vec<String>)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let Some(import) = import(line) else { continue };
            imports += 1;
            match import.check() {
                Err(why) => wrong.push(format!("{path}:{number}: {why}")),
                // Of two that follow each other, the second highlights what is new.
                Ok(lines) => {
                    let old = before.take_if(|(at, _)| *at + 1 == number);
                    let is_new =
                        |line: usize| !old.iter().any(|(_, old)| old.contains(&lines[line - 1]));
                    if old.is_some() && !import.highlighted().all(is_new) {
                        wrong.push(format!("{path}:{number}: it highlights what was there before"));
                    }
                    before = Some((number, lines));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(imports >= 20, "{imports} imports: is this still how the slides import code?");
}

#[test]
fn the_label_above_code_says_where_it_is_from() {
    for Document { path, text } in deck() {
        for slide in text.split("\n---\n") {
            let label = slide.split("<Src f=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(label) = label else { continue };
            for import in slide.lines().filter_map(import) {
                assert!(import.is_named_by(label), "{path}: {label:?}: {import:?}");
            }
        }
    }
}

#[test]
fn the_slides_name_scripts_that_there_are() {
    for Document { path, text } in deck() {
        for rest in text.split("scripts/").skip(1) {
            let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
            let script = root().join("scripts").join(name);
            assert!(script.is_file(), "{path}: there is no scripts/{name}");
        }
    }
}

#[test]
fn an_import_of_what_is_not_there_is_an_error() {
    let check = |line: &str| import(line).unwrap().check().unwrap_err();
    assert!(check("<<< @/README.md").contains("not in chapters/"));
    assert!(check("<<< @/chapters/none.rs#add rust").contains("No such file"));
    assert!(check("<<< @/chapters/ch1-basic-cni/src/add.rs#none rust").contains("no region none"));
    let beyond = "<<< @/chapters/ch1-basic-cni/src/add.rs#add rust {1|2-99|*}";
    assert!(check(beyond).contains("highlights line 99"));
    assert!(import("<<< @/chapters/ch1-basic-cni/src/add.rs#add rust {1|*}").is_some());
    assert!(import("a << b").is_none());
}
