//! `scripts/carry` takes a change into the later chapters, and names what it could not take.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A workshop of three chapters of a few lines, with our scripts.
struct Workshop(PathBuf);

const COMMON: &str = "a\nb\nc\nd\ne\nf\ng\nh\n";

impl Workshop {
    fn new(name: &str) -> Self {
        let workshop =
            Self(std::env::temp_dir().join(format!("carry-{name}-{}", std::process::id())));
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        fs::create_dir_all(workshop.0.join("scripts")).unwrap();
        for script in ["carry", "diff-chapters", "lib.sh"] {
            fs::copy(scripts.join(script), workshop.0.join("scripts").join(script)).unwrap();
        }
        for chapter in ["ch1-one", "ch2-two", "ch3-three"] {
            workshop.write(&format!("{chapter}/src/same.rs"), COMMON);
            // The lesson: a line more in each chapter, at its end.
            let lesson = format!("{COMMON}lesson of {}\n", &chapter[..3]);
            workshop.write(&format!("{chapter}/src/lesson.rs"), &lesson);
            workshop.write(
                &format!("{chapter}/src/main.rs"),
                &format!("use {};\n{COMMON}", chapter.replace('-', "_")),
            );
            workshop.write(&format!("{chapter}/stages"), "[lesson] The lesson\nsrc/lesson.rs\n");
        }
        workshop.write("ch1-one/tests/once.rs", COMMON);
        workshop.git(&["init", "--quiet"]);
        workshop.commit();
        workshop
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join("chapters").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join("chapters").join(file)).unwrap_or_default()
    }

    fn git(&self, arguments: &[&str]) {
        let names = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let status = Command::new("git").args(names).args(arguments).current_dir(&self.0).status();
        assert!(status.unwrap().success(), "{arguments:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=A change"]);
    }

    fn carry(&self, arguments: &[&str]) -> Output {
        Command::new(self.0.join("scripts/carry")).args(arguments).output().unwrap()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_change_arrives_in_files_that_are_the_same_and_in_those_that_differ() {
    let workshop = Workshop::new("arrives");
    let change = |text: &str| text.replace("b\n", "B\n");
    for file in ["same.rs", "lesson.rs", "main.rs"] {
        let file = format!("ch1-one/src/{file}");
        workshop.write(&file, &change(&workshop.read(&file)));
    }
    workshop.write("ch1-one/tests/once.rs", &change(COMMON));
    workshop.write("ch1-one/src/new.rs", "pub use ch1_one::new;\n");
    for _ in 0..2 {
        let output = workshop.carry(&["ch1"]);
        assert!(output.status.success(), "{output:?}");
        for (chapter, name) in [("ch2-two", "ch2_two"), ("ch3-three", "ch3_three")] {
            let read = |file: &str| workshop.read(&format!("{chapter}/{file}"));
            assert_eq!(read("src/same.rs"), change(COMMON));
            assert_eq!(
                read("src/lesson.rs"),
                format!("{}lesson of {}\n", change(COMMON), &chapter[..3])
            );
            assert_eq!(read("src/main.rs"), format!("use {name};\n{}", change(COMMON)));
            assert_eq!(read("src/new.rs"), format!("pub use {name}::new;\n"));
            assert_eq!(read("tests/once.rs"), "", "a test has no copies");
        }
    }
    assert!(workshop.read("diffs/ch2-to-ch3/01-lesson.diff").contains("+lesson of ch3\n"));

    // A change that is committed already; and one from the middle.
    workshop.commit();
    workshop.write("ch2-two/src/same.rs", &COMMON.replace("h\n", "H\n"));
    workshop.commit();
    let output = workshop.carry(&["ch2", "HEAD~"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(workshop.read("ch3-three/src/same.rs"), COMMON.replace("h\n", "H\n"));
    assert_eq!(workshop.read("ch1-one/src/same.rs"), change(COMMON));
}

#[test]
fn what_cannot_be_carried_is_named_and_the_rest_is_carried() {
    let workshop = Workshop::new("named");
    let file = "ch1-one/src/lesson.rs";
    workshop.write(file, &workshop.read(file).replace("lesson of ch1", "another lesson"));
    workshop.write("ch1-one/src/same.rs", "other\n");
    workshop.write("ch1-one/tests/new.rs", "");
    fs::remove_file(workshop.0.join("chapters/ch1-one/src/main.rs")).unwrap();
    let output = workshop.carry(&["ch1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for (chapter, other) in [("ch2-two", "ch3-three"), ("ch3-three", "ch2-two")] {
        assert!(said.contains(&format!("chapters/{chapter}/src/lesson.rs: conflicts")), "{said}");
        assert!(
            said.contains(&format!("{chapter}/Cargo.toml: promise ../ch1-one/tests/new.rs")),
            "{said}"
        );
        let lesson = workshop.read(&format!("{chapter}/src/lesson.rs"));
        assert!(lesson.contains("another lesson") && lesson.contains(&chapter[..3]), "{lesson}");
        assert!(!lesson.contains(&other[..3]), "{lesson}");
        assert_eq!(workshop.read(&format!("{chapter}/src/same.rs")), "other\n");
        assert_eq!(workshop.read(&format!("{chapter}/src/main.rs")), "", "gone, as in chapter 1");
    }
    let again = workshop.carry(&["ch1"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("first resolve"), "{again:?}");
}
