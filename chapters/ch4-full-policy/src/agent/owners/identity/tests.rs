use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::*;
use crate::api::NamedPort;

const REST: Duration = Duration::from_secs(60);

/// A table of its own for each test.
fn table(test: &str) -> (Identities, PathBuf) {
    let file = std::env::temp_dir().join(format!("identities-{}-{test}", std::process::id()));
    let _ = fs::remove_file(&file);
    (Identities::load(file.clone(), REST).unwrap(), file)
}

fn labels(app: u32) -> SecurityLabels {
    let labels = BTreeMap::from([("app".to_string(), app.to_string())]);
    SecurityLabels { namespace: "default".into(), labels, ..Default::default() }
}

#[test]
fn the_same_labels_have_the_same_number_also_after_a_restart() {
    let (mut identities, file) = table("restart");
    let ids = [1, 2, 1].map(|app| identities.get(&labels(app)).unwrap());
    assert_eq!(ids, [FIRST, FIRST + 1, FIRST]);
    identities.save().unwrap();
    let mut again = Identities::load(file.clone(), REST).unwrap();
    assert_eq!([2, 3, 1].map(|app| again.get(&labels(app)).unwrap()), [257, 258, 256]);
    fs::remove_file(file).unwrap();
}

#[test]
fn every_part_of_the_labels_makes_another_identity() {
    let (mut identities, _) = table("parts");
    let plain = labels(1);
    let mut others = [plain.clone(), plain.clone(), plain.clone()];
    others[0].namespace = "other".into();
    others[1].namespace_labels.insert("team".into(), "a".into());
    others[2].labels.insert("env".into(), "staging".into());
    let mut ids: Vec<_> = others.iter().map(|it| identities.get(it).unwrap()).collect();
    ids.push(identities.get(&plain).unwrap());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "{ids:?}");
}

#[test]
fn an_unused_number_is_kept_for_the_rest_period_and_given_to_nobody_else() {
    let (mut identities, _) = table("grace");
    let now = SystemTime::now();
    let [first, second] = [1, 2].map(|app| identities.get(&labels(app)).unwrap());
    let used = BTreeSet::from([second]);
    identities.gc_unused(&used, now);
    identities.gc_unused(&used, now + REST / 2);
    assert_eq!(identities.get(&labels(1)), Some(first), "its pods come back");
    identities.gc_unused(&BTreeSet::from([first, second]), now + REST / 2);
    identities.gc_unused(&used, now + REST);
    assert_eq!(identities.iter().count(), 2, "the period begins anew");
    identities.gc_unused(&used, now + REST * 2);
    assert_eq!(identities.iter().count(), 1);
    assert_eq!(identities.get(&labels(3)), Some(second + 1), "a freed number rests");
}

#[test]
fn when_all_numbers_are_taken_there_is_none_until_one_is_free() {
    let (mut identities, _) = table("full");
    for app in 0..=LAST - FIRST {
        assert_eq!(identities.get(&labels(app)), Some(FIRST + app));
    }
    assert_eq!(identities.get(&labels(1_000_000)), None);
    let now = SystemTime::now();
    let all_but_one = (FIRST..=LAST).filter(|id| *id != 300).collect();
    identities.gc_unused(&all_but_one, now);
    identities.gc_unused(&all_but_one, now + REST);
    assert_eq!(identities.get(&labels(1_000_000)), Some(300));
}

#[test]
fn labels_that_differ_everywhere_and_names_of_ports_count_when_a_policy_asks() {
    let port = |name: &str| NamedPort { name: name.into(), protocol: 6, number: 80 };
    let all = SecurityLabels {
        labels: [("app", "web"), ("pod-template-hash", "5d4f")]
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into(),
        ports: [port("http"), port("metrics")].into(),
        ..SecurityLabels::default()
    };
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let count = |labels: &[&str], ports: &[&str]| {
        let asked = Asked { labels: set(labels), ports: set(ports) };
        let counting = relevant(all.clone(), &asked);
        let ports = counting.ports.into_iter().map(|port| port.name);
        counting.labels.into_keys().chain(ports).collect::<Vec<_>>()
    };
    assert_eq!(count(&[], &[]), ["app"]);
    assert_eq!(count(&["pod-template-hash"], &["http"]), ["app", "pod-template-hash", "http"]);
}
