//! A recording of asciinema's, and the lines that a terminal makes of it.

use std::ops::Range;

use serde_json::Value;

use crate::run::plain;

/// What was printed, and after how many seconds.
#[derive(Debug, Clone)]
pub struct Cast {
    pub columns: usize,
    pub rows: usize,
    pub events: Vec<(f64, String)>,
}

/// Of some characters side by side.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Style {
    pub bold: bool,
    pub underlined: bool,
    pub reversed: bool,
}

/// Characters of one style and width, and the columns that they fill.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub columns: Range<usize>,
    pub text: String,
    pub style: Style,
}

/// The lines of a terminal, with those that have scrolled away. Our demos print lines, and set
/// bold, underlined and reversed: they never move the cursor.
#[derive(Debug)]
pub struct Lines {
    columns: usize,
    style: Style,
    pub lines: Vec<Vec<Run>>,
}

impl Cast {
    /// From asciicast v2: a header, then a line for each event.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let header = lines.next().unwrap();
        assert_eq!(header["version"], 2, "asciicast v2");
        let number = |key: &str| usize::try_from(header[key].as_u64().unwrap()).unwrap();
        let event = |it: Value| (it[0].as_f64().unwrap(), it[2].as_str().unwrap().to_string());
        Self {
            columns: number("width"),
            rows: number("height"),
            events: lines.filter(|it| it[1] == "o").map(event).collect(),
        }
    }

    /// All that was printed.
    pub fn text(&self) -> String {
        self.events.iter().map(|(_, text)| text.replace('\r', "")).collect()
    }
}

/// What a recording printed, without colours.
pub fn transcript(recording: &str) -> String {
    plain(&Cast::parse(recording).text())
}

impl Lines {
    pub fn new(columns: usize) -> Self {
        Self { columns, style: Style::default(), lines: vec![Vec::new()] }
    }

    pub fn print(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let (codes, after) = sequence.split_once('m').unwrap_or((sequence, ""));
                codes.split(';').for_each(|code| self.set(code));
                rest = after;
                continue;
            }
            match c {
                '\n' => self.lines.push(Vec::new()),
                '\r' => {}
                '\t' => (self.column()..(self.column() / 8 + 1) * 8).for_each(|_| self.put(' ')),
                c => self.put(c),
            }
            rest = &rest[c.len_utf8()..];
        }
    }

    fn set(&mut self, code: &str) {
        match code {
            "0" => self.style = Style::default(),
            "1" => self.style.bold = true,
            "4" => self.style.underlined = true,
            "7" => self.style.reversed = true,
            other => panic!("the picture of a cast knows no style {other:?}"),
        }
    }

    /// Where the cursor is.
    fn column(&self) -> usize {
        self.lines.last().and_then(|line| line.last()).map_or(0, |run| run.columns.end)
    }

    fn put(&mut self, c: char) {
        if self.column() + width(c) > self.columns {
            self.lines.push(Vec::new());
        }
        let (column, style) = (self.column(), self.style);
        let line = self.lines.last_mut().unwrap();
        let is_like =
            |run: &Run| run.style == style && run.text.chars().all(|it| width(it) == width(c));
        match line.last_mut().filter(|run| is_like(run)) {
            Some(run) => {
                run.text.push(c);
                run.columns.end += width(c);
            }
            None => line.push(Run { columns: column..column + width(c), text: c.into(), style }),
        }
    }
}

/// How many columns a character fills: two if it is Chinese.
pub fn width(c: char) -> usize {
    let is_wide = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}');
    1 + usize::from(is_wide)
}

#[test]
fn lines_are_those_of_a_terminal() {
    let mut lines = Lines::new(6);
    lines.print("\x1b[1mab\x1b[0m\tc\r\n封包d過去\n");
    let texts = lines.lines.iter().map(|line| line.iter().map(|run| &run.text[..]).collect());
    let seen: Vec<Vec<_>> = texts.collect();
    assert_eq!(seen, [vec!["ab", "    "], vec!["  c"], vec!["封包", "d"], vec!["過去"], vec![]]);
    let bold = Style { bold: true, ..Style::default() };
    assert_eq!((lines.lines[0][0].style, lines.lines[0][1].style), (bold, Style::default()));
    assert_eq!(lines.lines[2][1].columns, 4..5);
}
