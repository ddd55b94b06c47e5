//! Regions of the sources: from a comment `#region NAME` to `#endregion NAME`.

use std::fs;

use crate::repository::{below, root};

/// The marker that a line is, if it is one: whether it opens, and the region's name.
fn marker(line: &str) -> Option<(bool, &str)> {
    let text =
        ["//", "/*", "#"].into_iter().find_map(|comment| line.trim().strip_prefix(comment))?;
    let text = text.trim_end_matches("*/").trim();
    let open = text.strip_prefix("#region").map(|name| (true, name.trim()));
    open.or_else(|| text.strip_prefix("#endregion").map(|name| (false, name.trim())))
}

/// The regions of a file: are all named, opened once, and closed in order?
pub fn check_regions(text: &str) -> Result<Vec<&str>, String> {
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
pub fn region<'a>(text: &'a str, name: &str) -> Result<Vec<&'a str>, String> {
    if !check_regions(text)?.contains(&name) {
        return Err(format!("has no region {name}"));
    }
    let lines = text.lines().skip_while(|line| marker(line) != Some((true, name))).skip(1);
    let lines = lines.take_while(|line| marker(line) != Some((false, name)));
    let lines: Vec<_> = lines.filter(|line| marker(line).is_none()).collect();
    if lines.is_empty() { Err(format!("region {name} is empty")) } else { Ok(lines) }
}

#[test]
fn the_chapters_regions_are_closed() {
    let ends = [".rs", ".c", ".h", ".sh", ".bats", ".bash", ".yaml", ".toml"];
    let mut regions = 0;
    for path in below("chapters").iter().filter(|it| ends.iter().any(|end| it.ends_with(end))) {
        match check_regions(&fs::read_to_string(root().join(path)).unwrap()) {
            Ok(names) => regions += names.len(),
            Err(why) => panic!("{path}: {why}"),
        }
    }
    assert!(regions >= 20, "{regions} regions: are these still the markers?");
}

#[test]
fn a_region_that_is_open_or_missing_is_an_error() {
    let source =
        "a\n// #region one\nb\n    /* #region two */\nc\n/* #endregion two */\n// #endregion one\n";
    assert_eq!(region(source, "one").unwrap(), ["b", "c"]);
    assert_eq!(region(source, "two").unwrap(), ["c"]);
    assert!(region(source, "three").unwrap_err().contains("no region"));
    assert!(region("// #region one\nb\n", "one").unwrap_err().contains("never closed"));
    assert!(region("b\n// #endregion one\n", "one").unwrap_err().contains("not open"));
    assert!(region(&format!("{source}{source}"), "one").unwrap_err().contains("second time"));
    assert!(region("// #region\n// #endregion\n", "").unwrap_err().contains("without a name"));
}
