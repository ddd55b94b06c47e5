//! The figures as Markdown and as JSON, with the machine they are from.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::Row;

/// Prints tables and ratios as Markdown.
pub fn print(rows: &[Row], rounds: usize) {
    println!("{}, {rounds} rounds\n", machine().join(", "));
    println!("| what | contender | p50 ms | p95 ms | min ms |\n|---|---|--:|--:|--:|");
    for what in ["ADD", "first ADD", "DEL", "20 ADDs at once", "ADD, 100 pods there"] {
        for row in rows.iter().filter(|row| row.what == what) {
            let ms = |micros: u64| micros as f64 / 1000.0;
            println!(
                "| {what} | {} | {:.2} | {:.2} | {:.2} |",
                row.contender,
                ms(row.times.value_at_quantile(0.5)),
                ms(row.times.value_at_quantile(0.95)),
                ms(row.times.min())
            );
        }
    }
    println!("\n| claim | figure | mark |\n|---|--:|--:|");
    for (claim, figure, mark) in claims(rows) {
        println!("| {claim} | {figure:.2} | {mark} |");
    }
}

/// The same for programs.
pub fn json(rows: &[Row], rounds: usize) -> Value {
    let row = |row: &Row| {
        json!({
            "what": row.what,
            "contender": row.contender,
            "p50_us": row.times.value_at_quantile(0.5),
            "p95_us": row.times.value_at_quantile(0.95),
            "min_us": row.times.min(),
            "count": row.times.len(),
        })
    };
    let claim = |(claim, figure, mark)| json!({ "claim": claim, "figure": figure, "mark": mark });
    json!({
        "machine": machine(),
        "rounds": rounds,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
        "claims": claims(rows).map(claim),
    })
}

/// What the README says, as ratios of medians within this run.
fn claims(rows: &[Row]) -> [(&'static str, f64, &'static str); 5] {
    let p50 = |contender: &str, what: &str| {
        let row = rows.iter().find(|row| row.contender == contender && row.what == what);
        row.map_or(f64::NAN, |row| row.times.value_at_quantile(0.5) as f64)
    };
    let ratio = |what: &str, to: &str| p50("ours", what) / p50(to, what);
    [
        ("ADD, ours / reference", ratio("ADD", "reference"), "0.25"),
        ("ADD, ours / kernel alone", ratio("ADD", "kernel alone"), "3"),
        ("20 ADDs at once, ours / reference", ratio("20 ADDs at once", "reference"), "0.3"),
        ("ADD, chapter 2 / ours", p50("chapter 2", "ADD") / p50("ours", "ADD"), "1.5"),
        (
            "DEL, ours - kernel's DELLINK, ms",
            (p50("ours", "DEL") - p50("kernel alone", "DEL")) / 1000.0,
            "3",
        ),
    ]
}

/// Kernel, CPU and versions.
fn machine() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let reference = Command::new("dpkg-query")
        .args(["-Wf", "${Version}", "containernetworking-plugins"])
        .output();
    vec![
        format!("Linux {}", read("/proc/sys/kernel/osrelease")),
        format!("{cores} × {}", cpu.map_or("unknown CPU", |(_, name)| name)),
        format!("plugin {}", env!("CARGO_PKG_VERSION")),
        format!(
            "reference {}",
            reference.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
        ),
    ]
}
