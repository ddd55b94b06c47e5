//! A cast as an SVG that moves: for a page, where no script runs. Our demos only ever add lines, so
//! each line is there once, on a strip behind a window. The strip moves up, and a cover on it moves
//! down and shows line by line.

use std::fmt::Write as _;

use crate::cast::{Cast, Lines, Run, width};

const CELL: (f64, f64) = (8.4, 19.0);
const MARGIN: f64 = 16.0;
/// What is printed within this many seconds appears at once.
const AT_ONCE: f64 = 0.05;
/// How long the last screen stands before it all begins again.
const LAST_SCREEN: f64 = 6.0;

/// At a time, so many lines have been printed.
type Moment = (f64, usize);

pub fn svg(cast: &Cast, title: &str) -> String {
    let (lines, moments) = played(cast);
    let duration = moments.last().map_or(0.0, |it| it.0) + LAST_SCREEN;
    let (width, height) = (cast.columns as f64 * CELL.0, cast.rows as f64 * CELL.1);
    let strip = frames(&moments, duration, |count| -(count.saturating_sub(cast.rows) as f64));
    let cover = frames(&moments, duration, |count| count.min(cast.rows) as f64);
    let body: String = (0..).zip(&lines).map(|(row, line)| drawn(row, line)).collect();
    let end = lines.len().saturating_sub(cast.rows) as f64 * CELL.1;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" role=\"img\">\n\
         <title>{title}</title>\n<style>\n\
         text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, \"DejaVu Sans Mono\", \
         \"Noto Sans Mono CJK TC\", \"PingFang TC\", \"Microsoft JhengHei\", monospace; fill: #e6edf3; }}\n\
         .b {{ font-weight: bold; }} .u {{ text-decoration: underline; }} .r {{ fill: #0d1117; }} \
         .w {{ font-size: 16px; }}\n\
         .strip {{ transform: translateY(-{end:.0}px); animation: strip {duration:.1}s step-end infinite; }}\n\
         .cover {{ transform: translateY({height:.0}px); animation: cover {duration:.1}s step-end infinite; }}\n\
         @keyframes strip {{ {strip}}}\n@keyframes cover {{ {cover}}}\n\
         @media (prefers-reduced-motion: reduce) {{ .strip, .cover {{ animation: none; }} }}\n</style>\n\
         <rect width=\"{w:.0}\" height=\"{h:.0}\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <svg y=\"{MARGIN}\" width=\"{w:.0}\" height=\"{height:.0}\">\n\
         <g class=\"strip\"><g transform=\"translate({MARGIN})\">\n{body}</g></g>\n\
         <rect class=\"cover\" y=\"-1\" width=\"{w:.0}\" height=\"{h:.0}\" fill=\"#0d1117\"/>\n</svg>\n\
         <rect x=\"1\" y=\"1\" width=\"{inner_w:.0}\" height=\"{inner_h:.0}\" rx=\"8\" fill=\"none\" \
         stroke=\"#6e7681\" stroke-width=\"2\"/>\n</svg>\n",
        w = width + 2.0 * MARGIN,
        h = height + 2.0 * MARGIN,
        inner_w = width + 2.0 * MARGIN - 2.0,
        inner_h = height + 2.0 * MARGIN - 2.0,
    )
}

/// All lines, and when they come.
fn played(cast: &Cast) -> (Vec<Vec<Run>>, Vec<Moment>) {
    let mut lines = Lines::new(cast.columns);
    let mut moments: Vec<Moment> = Vec::new();
    for (time, text) in &cast.events {
        lines.print(text);
        let count = lines.lines.len();
        match moments.last_mut() {
            Some(last) if time - last.0 < AT_ONCE => last.1 = count,
            _ => moments.push((*time, count)),
        }
    }
    // It begins with the first line, not with what the demo has to build.
    let first = moments.first().map_or(0.0, |it| it.0);
    moments.iter_mut().for_each(|it| it.0 -= first);
    (lines.lines, moments)
}

/// The keyframes of something that moves by rows.
fn frames(moments: &[Moment], duration: f64, row: impl Fn(usize) -> f64) -> String {
    let mut frames = String::new();
    let mut last = None;
    for (time, count) in moments {
        let y = row(*count) * CELL.1;
        if last.replace(y) != Some(y) {
            let _ =
                write!(frames, "{:.2}%{{transform:translateY({y:.0}px)}}", time / duration * 100.0);
        }
    }
    frames
}

fn drawn(row: usize, line: &[Run]) -> String {
    let top = row as f64 * CELL.1;
    let mut drawn = String::new();
    // One bar for all of a caption: between two a seam would show.
    let mut reversed = line.iter().filter(|run| run.style.reversed).map(|run| &run.columns);
    if let Some(first) = reversed.next() {
        let end = reversed.next_back().unwrap_or(first).end;
        let (x, width) = (first.start as f64 * CELL.0, (end - first.start) as f64 * CELL.0);
        let _ = writeln!(
            drawn,
            "<rect x=\"{x:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"{}\" fill=\"#e6edf3\"/>",
            CELL.1
        );
    }
    for run in line {
        words(run).for_each(|(column, word)| drawn += &text(run, column, top, word));
    }
    drawn
}

/// A run's parts between two and more spaces: a table keeps its columns in any font.
fn words(run: &Run) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    run.text.split("  ").filter_map(move |part| {
        let word = part.trim_start();
        let at = from + part.chars().count() - word.chars().count();
        from += part.chars().count() + 2;
        let scale = run.columns.len() / run.text.chars().count();
        let word = word.trim_end();
        (!word.is_empty()).then_some((run.columns.start + at * scale, word))
    })
}

fn text(run: &Run, column: usize, top: f64, word: &str) -> String {
    let style = run.style;
    let is_wide = word.chars().all(|c| width(c) == 2);
    let classes =
        [(style.bold, 'b'), (style.underlined, 'u'), (style.reversed, 'r'), (is_wide, 'w')];
    let class: Vec<_> = classes.iter().filter(|it| it.0).map(|it| it.1.to_string()).collect();
    let class =
        if class.is_empty() { String::new() } else { format!(" class=\"{}\"", class.join(" ")) };
    let length = word.chars().map(width).sum::<usize>() as f64 * CELL.0;
    let word = word.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<text{class} x=\"{:.1}\" y=\"{:.0}\" textLength=\"{length:.1}\">{word}</text>\n",
        column as f64 * CELL.0,
        top + 14.0
    )
}

#[test]
fn a_picture_has_each_line_once_and_when_it_comes() {
    let events = [(1.0, "a  b\r\n"), (1.01, "\x1b[7m<c>\x1b[0m\r\n"), (3.0, "d\r\n")];
    let events = events.map(|(time, text)| (time, text.to_string())).to_vec();
    let svg = svg(&Cast { columns: 10, rows: 2, events }, "t");
    for part in [
        "<text x=\"0.0\" y=\"14\" textLength=\"8.4\">a</text>",
        "<text x=\"25.2\" y=\"14\"",
        "<text class=\"r\" x=\"0.0\" y=\"33\" textLength=\"25.2\">&lt;c></text>",
        "strip 8.0s", // two seconds, and the last screen
        "@keyframes strip { 0.00%{transform:translateY(-19px)}25.00%{transform:translateY(-38px)}}",
        "@keyframes cover { 0.00%{transform:translateY(38px)}}",
    ] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
    assert_eq!(svg.matches(">d<").count(), 1);
}
