//! The casts are of the demos as they are now, and each has its picture. `scripts/record` makes
//! both.

use std::fs;

use crate::cast::Cast;
use crate::console::Place;
use crate::output::{difference, matches};
use crate::picture::svg;
use crate::repository::{Document, all, below, root};
use crate::run::{MACHINE, Scene, plain};

const LANGUAGES: [&str; 2] = ["en", "zh-TW"];

/// By path, from the root.
fn cast(chapter: &str, language: &str) -> Document {
    Document::read(&format!("docs/casts/{chapter}.{language}.cast"))
}

/// The short names of the chapters that have a story.
fn chapters() -> Vec<String> {
    let stories = below("chapters").into_iter().filter(|path| path.ends_with("/demo.sh"));
    let name = |path: String| path.split(['/', '-']).nth(1).unwrap().to_string();
    let names: Vec<_> = stories.map(name).collect();
    assert!(names.len() >= 3, "where are the stories? {names:?}");
    names
}

fn casts() -> impl Iterator<Item = (String, &'static str)> {
    chapters().into_iter().flat_map(|chapter| LANGUAGES.map(|it| (chapter.clone(), it)))
}

/// What a cast shows (-) and the demo does not any more (+).
fn outdated(chapter: &str, language: &str) -> Option<String> {
    let cast = cast(chapter, language);
    // `[...]`: before the story begins it is built.
    let shown = "[...]\n".to_string() + &Cast::parse(&cast.text).text();
    let shown: Vec<_> = shown.lines().map(plain).collect();
    let _alone = (chapter == "ch2").then(|| MACHINE.write()); // its trace is the machine's
    let scene = Scene::new(&cast, Place::Lab);
    let (seen, success) =
        scene.run(&format!("scripts/demo {chapter} --talk --fast --lang {language}"));
    let is_same = success && matches(&shown, &seen);
    (!is_same).then(|| format!("{}:\n{}", cast.path, difference(&shown, &seen)))
}

#[test]
fn each_cast_is_of_the_demo_as_it_is_now() {
    let outdated: Vec<_> = std::thread::scope(|scope| {
        let check = |chapter: String| LANGUAGES.map(|language| outdated(&chapter, language));
        let chapters = chapters().into_iter();
        let threads: Vec<_> = chapters.map(|it| scope.spawn(move || check(it))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).flatten().collect()
    });
    assert!(
        outdated.is_empty(),
        "\n{}\nIf the demo is right: scripts/record\n",
        outdated.join("\n")
    );
}

#[test]
fn each_cast_has_its_picture() {
    for (chapter, language) in casts() {
        let cast = cast(&chapter, language);
        let parsed = Cast::parse(&cast.text);
        assert!(parsed.columns <= 100 && parsed.rows <= 28, "{} is too large", cast.path);
        let now = svg(&parsed, &format!("scripts/demo {chapter} --talk --lang {language}"));
        let path = cast.path.replace(".cast", ".svg");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(root().join(&path), &now).unwrap();
        }
        let is_same = fs::read_to_string(root().join(&path)).is_ok_and(|it| it == now);
        assert!(is_same, "{path} is not the picture of {}: scripts/record", cast.path);
        assert!(now.len() < 150_000, "{path} is too large for a page");
    }
}

#[test]
fn each_chapter_shows_its_cast_in_the_pages_language() {
    for (chapter, language) in casts() {
        let end = if language == "en" { "/README.md" } else { "/README.zh-TW.md" };
        let start = format!("chapters/{chapter}-");
        let page =
            all().into_iter().find(|it| it.path.starts_with(&start) && it.path.ends_with(end));
        let picture = format!("](../../docs/casts/{chapter}.{language}.svg)");
        let page = page.unwrap();
        assert!(page.text.contains(&picture), "{} does not show {picture}", page.path);
    }
}
