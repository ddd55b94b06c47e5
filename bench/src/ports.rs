//! What ports, blocks and egress cost a packet: chapter 4's programs beside chapter 3's, in turns.

use anyhow::Result;
use lab::warn;

use crate::packets::pairs::{Full, Identities, Sets};
use crate::packets::{Case, IN_A_ROW, Mode, NEW, Scene, Stage, full};
use crate::report::{Cell, Report, Table};
use crate::times::Times;

/// How much is in the maps.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Entries of `policy_map` and `endpoint_map`.
    entries: (u32, u32),
    sets: Sets,
}

/// As in a cluster of a thousand pods.
const USUAL: (u32, u32) = (2_000, 1_000);
const WITHOUT: Size = Size { entries: USUAL, sets: Sets { ports: 0, blocks: 100 } };
const WITH: Size = Size { entries: USUAL, sets: Sets { ports: 100, blocks: 100 } };

/// The smallest, each one thing larger, and all of it.
const FLAT: [Size; 5] = [
    Size { entries: (10, 8), sets: Sets { ports: 1, blocks: 1 } },
    Size { entries: (60_000, 16_384), sets: Sets { ports: 1, blocks: 1 } },
    Size { entries: (10, 8), sets: Sets { ports: 1, blocks: 1_000 } },
    Size { entries: (10, 8), sets: Sets { ports: 500, blocks: 1 } },
    Size { entries: (60_000, 16_384), sets: Sets { ports: 500, blocks: 1_000 } },
];

type Results = Vec<(Case, Times)>;

/// Each case with each chapter and size, in turns.
pub fn run(rounds: usize) -> Result<Report> {
    warn("eight nodes …");
    let mut stages = vec![Stage::new("ch3", Identities::open)?];
    stages[0].fill(USUAL, |scene| scene.cases(USUAL.1, 0))?;
    for size in [WITHOUT, WITH] {
        stages.push(stage(size, |scene| all(scene, size))?);
    }
    for size in FLAT {
        let cases =
            |scene: &Scene| Ok(all(scene, size)?.into_iter().filter(Case::is_known).collect());
        stages.push(stage(size, cases)?);
    }
    for round in 0..rounds {
        warn(format_args!("round {} of {rounds} …", round + 1));
        let count = stages.len();
        for nth in 0..count {
            stages[(round + nth) % count].round(round)?;
        }
    }
    let results: Vec<_> = stages.iter_mut().map(Stage::take_results).collect();
    stages.into_iter().try_for_each(|stage| stage.stop().map(drop))?;
    let (beside, flat) = results.split_at(3);
    let mut claims = Table::claims();
    let tables = [beside_table(beside, &mut claims), flat_table(flat, &mut claims)];
    let notes = vec![
        format!(
            "Nanoseconds, medians. Chapter 3 and the two of chapter 4 with {} pairs, {} \
             endpoints, {} blocks, and all ports or {} sets of ports; each on a node of its own, \
             in rotating turns.",
            USUAL.0, USUAL.1, WITH.sets.blocks, WITH.sets.ports,
        ),
        format!(
            "In a row: {IN_A_ROW} times the same packet; one by one: {NEW} for a round, with the \
             clock's own time (see the empty program's), where each opens a connection, or the \
             program changes the mark. Asserted: each verdict, \
             that no event was lost, and what policy_map counts."
        ),
    ];
    Ok(Report { rounds, tables: tables.into_iter().chain([claims]).collect(), notes })
}

fn stage(size: Size, cases: impl FnOnce(&Scene) -> Result<Vec<Case>> + Send) -> Result<Stage> {
    let mut stage = Stage::new("ch4", || Full::open(size.sets))?;
    stage.fill(size.entries, cases)?;
    Ok(stage)
}

fn all(scene: &Scene, size: Size) -> Result<Vec<Case>> {
    let mut cases = scene.cases(size.entries.1, 0)?;
    cases.extend(full::cases(scene, size.sets.ports > 0)?);
    Ok(cases)
}

/// Chapter 3, chapter 4 without ports, and with.
fn beside_table(results: &[Results], claims: &mut Table) -> Table {
    let columns = [
        "packet",
        "program",
        "measured",
        "chapter 3",
        "chapter 4",
        "with ports",
        "chapter 4 / 3",
        "with ports / 3",
    ];
    let mut table = Table::new("packets", &columns);
    let mut worst = [0.0f64; 2];
    for (case, times) in &results[2] {
        let p50 = |of: &Results| {
            let same = |it: &&(Case, Times)| {
                (it.0.name, it.0.hook, it.0.mode) == (case.name, case.hook, case.mode)
            };
            of.iter().find(same).map(|(_, times)| times.ns(0.5))
        };
        let (chapter3, without, with) = (p50(&results[0]), p50(&results[1]), times.ns(0.5));
        let ratio = |time: Option<f64>| Some(time? / chapter3?);
        let ratios = [ratio(without), ratio(Some(with))];
        // With events the reader's pace is in it, and one by one the clock's.
        if case.mode != Mode::OneByOne && !case.tells && case.hook != "empty" {
            for (worst, ratio) in worst.iter_mut().zip(ratios) {
                *worst = worst.max(ratio.unwrap_or_default());
            }
        }
        let how = if case.mode == Mode::OneByOne { "one by one" } else { "in a row" };
        let cell = |figure: Option<f64>, digits| {
            figure.map_or(Cell::Nothing, |figure| Cell::Number(figure, digits))
        };
        let [ratio, ratio_with] = ratios.map(|it| cell(it, 2));
        let [chapter3, without] = [chapter3, without].map(|it| cell(it, 0));
        let with = cell(Some(with), 0);
        table.row([
            case.name.into(),
            case.hook.into(),
            how.into(),
            chapter3,
            without,
            with,
            ratio,
            ratio_with,
        ]);
    }
    claims.at_most("a packet in a row, chapter 4 / chapter 3, the worst", worst[0], 1.4);
    claims.at_most("the same with ports", worst[1], 1.4);
    table
}

/// What known connections take, by what is in the maps.
fn flat_table(results: &[Results], claims: &mut Table) -> Table {
    let of = |size: Size| {
        let Size { entries: (pairs, _), sets } = size;
        format!("{pairs} + {} + {}", sets.blocks, sets.ports)
    };
    let sizes = FLAT.map(of);
    let mut columns = vec!["packet, by pairs + blocks + sets of ports", "program"];
    columns.extend(sizes.iter().map(String::as_str));
    columns.push("largest / smallest");
    let mut table = Table::new("flat", &columns);
    let mut worst = [0.0f64; 4];
    for (nth, (case, times)) in results[0].iter().enumerate() {
        let p50 = [0, 1, 2, 3, 4].map(|size: usize| results[size][nth].1.ns(0.5));
        let smallest = times.ns(0.5);
        if case.hook != "empty" {
            for (worst, time) in worst.iter_mut().zip(&p50[1..]) {
                *worst = worst.max(time / smallest);
            }
        }
        let [a, b, c, d, e] = p50.map(|time| Cell::Number(time, 0));
        let ratio = Cell::Number(p50.into_iter().fold(0.0, f64::max) / smallest, 2);
        table.row([case.name.into(), case.hook.into(), a, b, c, d, e, ratio]);
    }
    for (what, worst) in ["60,000 pairs", "1,000 blocks", "500 sets of ports"].iter().zip(worst) {
        claims.at_most(&format!("a known connection, {what} / the smallest maps"), worst, 1.2);
    }
    claims.figure("the same, all three", worst[3]);
    table
}
