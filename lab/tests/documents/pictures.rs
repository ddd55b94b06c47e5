//! The pages' pictures are the deck's, in the page's language. Whether they are as the deck draws
//! them now, `scripts/slides test` says.

use std::fs;

use crate::markdown::{Token, split, tokens};
use crate::repository::{Document, all, below, root};

const FOLDER: &str = "docs/pictures";
const LANGUAGES: [&str; 2] = ["en", "zh-TW"];

fn is_chinese(c: char) -> bool {
    ('\u{3000}'..'\u{a000}').contains(&c) || ('\u{ff00}'..'\u{fff0}').contains(&c)
}

/// The pictures that a page shows, by their file names.
fn pictures(document: &Document) -> Vec<String> {
    let (_, prose) = split(&document.text);
    let links = prose.into_iter().flat_map(|(_, line)| tokens(line));
    let name = |token: Token| match token {
        Token::Link(link) => Some(link.split_once("docs/pictures/")?.1.to_string()),
        Token::Code(_) => None,
    };
    links.filter_map(name).collect()
}

#[test]
fn each_picture_is_shown_in_the_pages_language() {
    let mut shown = Vec::new();
    for document in all() {
        let language = if document.is_english() { "en" } else { "zh-TW" };
        for picture in pictures(&document) {
            let end = format!(".{language}.svg");
            assert!(picture.ends_with(&end), "{} shows {picture}", document.path);
            shown.push(picture);
        }
    }
    let files = below(FOLDER);
    assert!(files.len() >= 12, "where are the pictures? {files:?}");
    for file in files {
        let name = file.rsplit('/').next().unwrap();
        assert!(shown.iter().any(|it| it == name), "no page shows {file}");
        for language in LANGUAGES {
            let other = name.split('.').next().unwrap();
            assert!(shown.contains(&format!("{other}.{language}.svg")), "{other}: {language}");
        }
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let chinese = text.chars().any(is_chinese);
        assert_eq!(chinese, name.ends_with(".zh-TW.svg"), "{file}: another language's labels");
    }
}
