//! The slides take their code from the chapters by region. Slidev shows a whole file, and is
//! content, where a region is missing or open: so the regions are checked here, without Node.js.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The files below a folder whose name `wanted` wants. Links are not followed.
fn files(folder: &Path, wanted: fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        if kind.is_dir() && name != "node_modules" && name != "target" {
            files(&path, wanted, found);
        } else if kind.is_file() && wanted(name) {
            found.push(path);
        }
    }
}

/// The marker that a line is, if it is one: whether it opens, and the region's name.
fn marker(line: &str) -> Option<(bool, &str)> {
    let text =
        ["//", "/*", "#"].into_iter().find_map(|comment| line.trim().strip_prefix(comment))?;
    let text = text.trim_end_matches("*/").trim();
    let open = text.strip_prefix("#region").map(|name| (true, name.trim()));
    open.or_else(|| text.strip_prefix("#endregion").map(|name| (false, name.trim())))
}

/// Are all regions of a file named, opened once, and closed in order?
fn check_regions(text: &str) -> Result<Vec<&str>, String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        match marker(line) {
            None => {}
            Some((_, "")) => return Err(format!("line {number}: a region without a name")),
            Some((true, name)) if all.contains(&name) => {
                return Err(format!("line {number}: region {name} a second time"));
            }
            Some((true, name)) => {
                open.push(name);
                all.push(name);
            }
            Some((false, name)) if open.last() != Some(&name) => {
                return Err(format!("line {number}: region {name} ends here, and is not open"));
            }
            Some((false, _)) => drop(open.pop()),
        }
    }
    if open.is_empty() { Ok(all) } else { Err(format!("never closed: {}", open.join(", "))) }
}

/// What Slidev shows of a region: its lines without markers.
fn region<'a>(text: &'a str, name: &str) -> Result<Vec<&'a str>, String> {
    if !check_regions(text)?.contains(&name) {
        return Err(format!("has no region {name}"));
    }
    let lines = text.lines().skip_while(|line| marker(line) != Some((true, name))).skip(1);
    let lines = lines.take_while(|line| marker(line) != Some((false, name)));
    let lines: Vec<_> = lines.filter(|line| marker(line).is_none()).collect();
    if lines.is_empty() { Err(format!("region {name} is empty")) } else { Ok(lines) }
}

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
    /// Is there what it wants to show?
    fn check(&self, root: &Path) -> Result<(), String> {
        if !self.file.starts_with("chapters/") {
            return Err(format!("{} is not in chapters/", self.file));
        }
        let text = fs::read_to_string(root.join(&self.file))
            .map_err(|error| format!("{}: {error}", self.file))?;
        let lines = match &self.region {
            Some(name) => region(&text, name).map_err(|why| format!("{}: {why}", self.file))?,
            None => text.lines().collect(),
        };
        let numbers = self.highlights.split(|c: char| !c.is_ascii_digit());
        let last = numbers.filter_map(|number| number.parse().ok()).max().unwrap_or(0);
        if last > lines.len() {
            return Err(format!("{} highlights line {last} of {}", self.file, lines.len()));
        }
        Ok(())
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

/// The deck's files, each with its text.
fn deck() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&root().join("slides"), |name| name.ends_with(".md"), &mut found);
    assert!(found.len() > 1, "where are the slides? {found:?}");
    let text = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    found.into_iter().map(text).collect()
}

#[test]
fn the_slides_show_regions_that_there_are() {
    let (mut imports, mut wrong) = (0, Vec::new());
    for (path, text) in deck() {
        for (number, line) in (1..).zip(text.lines()) {
            let Some(import) = import(line) else { continue };
            imports += 1;
            if let Err(why) = import.check(&root()) {
                wrong.push(format!("{}:{number}: {why}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(imports >= 20, "{imports} imports: is this still how the slides import code?");
}

#[test]
fn the_label_above_code_says_where_it_is_from() {
    for (path, text) in deck() {
        for slide in text.split("\n---\n") {
            let label = slide.split("<Src f=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(label) = label else { continue };
            for import in slide.lines().filter_map(import) {
                assert!(import.is_named_by(label), "{}: {label:?}: {import:?}", path.display());
            }
        }
    }
}

#[test]
fn the_slides_name_scripts_that_there_are() {
    for (path, text) in deck() {
        for rest in text.split("scripts/").skip(1) {
            let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap();
            let script = root().join("scripts").join(name);
            assert!(script.is_file(), "{}: there is no scripts/{name}", path.display());
        }
    }
}

#[test]
fn the_chapters_regions_are_closed() {
    let mut found = Vec::new();
    let is_source = |name: &str| {
        [".rs", ".c", ".h", ".sh", ".bats", ".bash", ".yaml", ".toml"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    files(&root().join("chapters"), is_source, &mut found);
    let mut regions = 0;
    for path in found {
        match check_regions(&fs::read_to_string(&path).unwrap()) {
            Ok(names) => regions += names.len(),
            Err(why) => panic!("{}: {why}", path.display()),
        }
    }
    assert!(regions >= 20, "{regions} regions: are these still the markers?");
}

#[test]
fn what_slidev_would_pass_over_is_an_error() {
    let source =
        "a\n// #region one\nb\n    /* #region two */\nc\n/* #endregion two */\n// #endregion one\n";
    assert_eq!(region(source, "one").unwrap(), ["b", "c"]);
    assert_eq!(region(source, "two").unwrap(), ["c"]);
    assert!(region(source, "three").unwrap_err().contains("no region"));
    assert!(region("// #region one\nb\n", "one").unwrap_err().contains("never closed"));
    assert!(region("b\n// #endregion one\n", "one").unwrap_err().contains("not open"));
    assert!(region(&format!("{source}{source}"), "one").unwrap_err().contains("second time"));
    assert!(region("// #region\n// #endregion\n", "").unwrap_err().contains("without a name"));

    let check = |line: &str| import(line).unwrap().check(&root()).unwrap_err();
    assert!(check("<<< @/README.md").contains("not in chapters/"));
    assert!(check("<<< @/chapters/none.rs#add rust").contains("No such file"));
    assert!(check("<<< @/chapters/ch1-basic-cni/src/add.rs#none rust").contains("no region none"));
    let beyond = "<<< @/chapters/ch1-basic-cni/src/add.rs#add rust {1|2-99|*}";
    assert!(check(beyond).contains("highlights line 99"));
    assert!(import("<<< @/chapters/ch1-basic-cni/src/add.rs#add rust {1|*}").is_some());
    assert!(import("a << b").is_none());
}
