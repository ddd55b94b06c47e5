//! Keys of the configuration that nobody reads. They are ignored, as the spec wants other
//! plugins' keys to be, but not in silence: `podCIDR` is no `podcidr`.

use serde_json::Value;

use crate::warn;

/// What we read.
const OURS: [&str; 5] = ["podcidr", "bridge", "mtu", "ipMasq", "leaseDir"];

/// What the spec and the runtimes put beside it (SPEC §1, CONVENTIONS.md).
const THEIRS: [&str; 13] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "args",
    "capabilities",
    "runtimeConfig",
    "prevResult",
    "ipam",
    "dns",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];

/// Longer than all of them: no misspelling.
const LONGEST: usize = 32;

/// Warns of each unknown key, and names the known one that looks like it.
pub fn warn_of_unknown_keys(conf: &Value) {
    for key in conf.as_object().into_iter().flat_map(|conf| conf.keys()) {
        if OURS.contains(&key.as_str())
            || THEIRS.contains(&key.as_str())
            || key.starts_with("cni.dev/")
        {
            continue;
        }
        let meant = nearest(key).map(|known| format!("; did you mean {known:?}?"));
        warn(&format!("the key {key:?} is unknown and ignored{}", meant.unwrap_or_default()));
    }
}

/// The known key that is at most two letters away, and less than half of it; upper and lower case
/// and `_` aside.
fn nearest(key: &str) -> Option<&'static str> {
    if key.len() > LONGEST {
        return None;
    }
    let plain = |key: &str| key.to_lowercase().replace(['_', '-', ' '], "");
    let known = OURS.into_iter().chain(THEIRS);
    let (away, known) = known.map(|it| (distance(&plain(it), &plain(key)), it)).min()?;
    (away <= 2 && 2 * away < known.len()).then_some(known)
}

/// How many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in b.chars().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}
