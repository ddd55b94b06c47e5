//! The documents are true: every command in them runs, and prints what stands below it.
//!
//! `UPDATE=1 cargo test -p lab --test documents` writes what is printed into the documents;
//! `DOCUMENT=chapters/ch1` runs those whose path begins so; `PLACE=cluster` runs the blocks that
//! need the node of `scripts/cluster`, as `scripts/test --node` does, and `PLACE=vm` those around
//! and in the VM, as `scripts/test-vagrant` does.

use std::collections::BTreeMap;
use std::env;
use std::io::Write as _;

use crate::console::{Place, blocks};
use crate::excerpts;
use crate::repository::{Document, english};
use crate::run::{self, MACHINE};

#[test]
fn every_command_of_the_documents_prints_what_they_say() {
    let update = env::var_os("UPDATE").is_some();
    if update {
        excerpts::update();
    }
    let wanted = env::var("DOCUMENT").unwrap_or_default();
    let documents: Vec<_> =
        english().into_iter().filter(|document| document.path.starts_with(&wanted)).collect();
    let place = match env::var("PLACE").as_deref() {
        Ok("cluster") => Place::Cluster,
        Ok("vm") => Place::Vm,
        Ok(other) => panic!("PLACE={other}: there are `cluster` and `vm`"),
        Err(_) => Place::Lab,
    };
    say_what_does_not_run(&documents, place);
    let beside_others = |document: &Document| {
        let _shared = MACHINE.read();
        run::check(document, place, update)
    };
    let by_itself = |document: &Document| {
        let _alone = MACHINE.write();
        run::check(document, place, update)
    };
    // Cluster, VM, stories, and readers of the trace: the machine has one of each.
    let is_alone = |document: &Document| {
        place != Place::Lab || ["trace", "demo"].iter().any(|it| document.text.contains(it))
    };
    let (alone, together): (Vec<_>, Vec<_>) = documents.iter().partition(|it| is_alone(it));
    let mut wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            together.iter().map(|document| scope.spawn(|| beside_others(document))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    wrong.extend(alone.into_iter().flat_map(by_itself));
    assert!(
        wrong.is_empty(),
        "\n\n{}\n\nIf what is printed now is right: UPDATE=1 cargo test -p lab --test documents \
         writes it into the document. What differs from run to run is cut in the document by a line \
         [...], or masked in lab/tests/documents/masks.rs.\n",
        wrong.join("\n\n")
    );
}

/// Past the test's captured output: whoever runs the tests shall know.
fn say_what_does_not_run(documents: &[Document], runs: Place) {
    let mut counts = BTreeMap::new();
    for document in documents {
        for block in blocks(document).unwrap_or_default() {
            *counts.entry(block.place).or_insert(0) += 1;
        }
    }
    for (place, count) in counts.iter().filter(|(place, _)| **place != runs) {
        let where_else = match place {
            Place::Lab => "on the lab, by scripts/test",
            Place::Cluster => "on the cluster, by scripts/test --node",
            Place::Vm => "around the VM, by scripts/test-vagrant",
            Place::ByHand => "by hand",
        };
        let line =
            format!("documents: {count} blocks of commands do not run here, but {where_else}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}
