//! What chapter 3's programs take for a packet, with maps of any size.

mod cases;
mod events;
pub mod full;
mod maps;
pub mod pairs;
mod scene;
mod stage;

use anyhow::Result;
use lab::warn;

pub use cases::{Case, Mode};
pub use scene::Scene;
pub use stage::{IN_A_ROW, NEW, Stage};

use crate::report::{Cell, Report, Table};
use crate::times::Times;
use pairs::Identities;

/// How many entries `policy_map` and `endpoint_map` have; the last ones are what they can hold.
const SIZES: [(u32, u32); 3] = [(10, 10), (1_000, 1_000), (65_536, 16_384)];

/// Each case with each size.
pub fn run(rounds: usize) -> Result<Report> {
    let mut stage = Stage::new("ch3", Identities::open)?;
    let mut results = Vec::new();
    for size in SIZES {
        warn(format_args!("{} pairs, {} endpoints …", size.0, size.1));
        // Connections live longer than one size is looked at.
        stage.fill(size, |scene| scene.cases(size.1, size.1 * 1_000))?;
        for round in 0..rounds {
            stage.round(round)?;
        }
        results.push(stage.take_results());
    }
    Ok(report(&results, rounds, stage.stop()?))
}

fn report(results: &[Vec<(Case, Times)>], rounds: usize, told: usize) -> Report {
    let sizes = SIZES.map(|(pairs, endpoints)| format!("{pairs} + {endpoints}"));
    let mut columns = vec!["packet", "program", "measured"];
    columns.extend(sizes.iter().map(String::as_str));
    columns.extend(["min", "largest / smallest"]);
    let mut table = Table::new("packets", &columns);
    let (mut slowest, mut told_of, mut steepest) = (0.0f64, 0.0f64, 0.0f64);
    for (nth, (case, _)) in results[0].iter().enumerate() {
        let p50 = [0, 1, 2].map(|size: usize| results[size][nth].1.ns(0.5));
        let min = results.iter().map(|it| it[nth].1.ns(0.0)).fold(f64::INFINITY, f64::min);
        let ratio = p50[2] / p50[0];
        let is_row = case.mode != Mode::OneByOne;
        let how = if is_row { "in a row" } else { "one by one" };
        let [a, b, c, min] = [p50[0], p50[1], p50[2], min].map(|it| Cell::Number(it, 0));
        let ratio_cell = Cell::Number(ratio, 2);
        table.row([case.name.into(), case.hook.into(), how.into(), a, b, c, min, ratio_cell]);
        if is_row && case.hook != "empty" {
            let highest = if case.tells { &mut told_of } else { &mut slowest };
            *highest = p50.into_iter().fold(*highest, f64::max);
            // With events the reader's pace is in it.
            steepest = if case.tells { steepest } else { steepest.max(ratio) };
        }
    }
    let mut claims = Table::claims();
    claims.at_most("the slowest packet in a row, µs", slowest / 1e3, 0.5);
    claims.at_most("the slowest one with an event that is read, µs", told_of / 1e3, 0.5);
    claims.at_most("a packet in a row, largest / smallest maps, the worst", steepest, 1.2);
    let notes = vec![
        "Nanoseconds, medians; the columns are entries of policy_map + endpoint_map.".to_string(),
        format!(
            "In a row: {IN_A_ROW} times the same packet, by the kernel's own clock; all that it \
             touches is in the caches. One by one: {NEW} different packets for a round, each \
             timed alone: the caches are colder, and the clock's own time is in it (see the \
             empty program's)."
        ),
        format!(
            "Denied packets write an event, new connections too in to_pod: a thread read them \
             meanwhile, {told} in all. Asserted: each verdict, that no event was lost, and what \
             policy_map counts."
        ),
    ];
    Report { rounds, tables: vec![table, claims], notes }
}
