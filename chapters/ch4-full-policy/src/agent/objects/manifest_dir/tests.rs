//! A directory that changes while it is read.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::follow;
use crate::agent::objects::changed::Notify;
use crate::agent::objects::stores::Snapshot;

const ROUNDS: usize = 2000;

/// Writes a policy as the lab does: whole, then renamed.
fn write(directory: &Path, name: &str) {
    let (new, file) = (directory.join(".new"), directory.join(format!("{name}.yaml")));
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}}\n";
    fs::write(&new, format!("{policy}metadata: {{name: {name}}}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn the_engine_sees_the_directory_as_it_was_at_one_time() {
    let directory = std::env::temp_dir().join(format!("manifests-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    write(&directory, "first");
    let (reports, changed) = mpsc::channel();
    let notify: Notify = Arc::new(move |report| drop(reports.send(report)));
    let (snapshot, _) = watch::channel(Snapshot::default());
    let (listed, mut stores) = oneshot::channel();
    let followed = directory.clone();
    let follower = std::thread::spawn(move || follow(&followed, notify, snapshot, listed));
    changed.recv().unwrap();
    let stores = stores.try_recv().unwrap();

    // One of the two is there at each moment.
    let toggled = directory.clone();
    let toggler = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            let [new, old] = if round % 2 == 0 { ["second", "first"] } else { ["first", "second"] };
            write(&toggled, new);
            fs::remove_file(toggled.join(format!("{old}.yaml"))).unwrap();
            std::thread::sleep(Duration::from_micros(300)); // time for a look
        }
        write(&toggled, "end");
    });
    let mut looks = 0;
    for _ in &changed {
        let _unchanged = stores.write_lock.lock();
        let policies = stores.policies.state();
        let has =
            |name| policies.iter().any(|policy| policy.metadata.name.as_deref() == Some(name));
        assert!(has("first") || has("second"), "after {looks} looks");
        looks += 1;
        if has("end") {
            break;
        }
    }
    assert!(looks > ROUNDS / 10);
    toggler.join().unwrap();

    fs::remove_dir_all(&directory).unwrap();
    let error = follower.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error}");
}
