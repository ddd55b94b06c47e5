//! The figures as Markdown and as JSON, with the machine they are from.

use std::fs;

use lab::say;
use serde_json::{Map, Value, json};

/// What a subcommand has found out.
#[derive(Debug)]
pub struct Report {
    /// How often each thing was done.
    pub rounds: usize,
    /// Figures.
    pub tables: Vec<Table>,
    /// How they came about, and what was asserted on the way.
    pub notes: Vec<String>,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its key in the JSON.
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A figure, and how many digits of it are printed behind the point.
    Number(f64, usize),
    /// There is none.
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Number(count as f64, 0)
    }
}

impl Cell {
    fn markdown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, digits) => format!("{number:.digits$}"),
            Self::Nothing => String::new(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number, _) => json!(number),
            Self::Nothing => Value::Null,
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(name: &'static str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(ToString::to_string).collect();
        Self { name, columns, rows: Vec::new() }
    }

    /// What is claimed in the documents, or hoped for: ratios and limits with their marks.
    pub fn claims() -> Self {
        Self::new("claims", &["claim", "figure", "mark", "kept"])
    }

    /// One row more.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// One row more in [`Table::claims`].
    pub fn at_most(&mut self, claim: &str, figure: f64, mark: f64) {
        self.claim(claim, figure, format!("≤ {mark}"), figure <= mark);
    }

    /// The same with the mark at the other end.
    pub fn at_least(&mut self, claim: &str, figure: f64, mark: f64) {
        self.claim(claim, figure, format!("≥ {mark}"), figure >= mark);
    }

    /// The same without a mark: nobody has promised anything.
    pub fn figure(&mut self, claim: &str, figure: f64) {
        self.row([claim.into(), Cell::Number(figure, 2), Cell::Nothing, Cell::Nothing]);
    }

    fn claim(&mut self, claim: &str, figure: f64, mark: String, kept: bool) {
        let kept = if kept { "yes" } else { "no" };
        self.row([claim.into(), Cell::Number(figure, 2), Cell::Text(mark), kept.into()]);
    }

    fn print(&self) {
        say(format_args!("\n| {} |", self.columns.join(" | ")));
        let is_number = |column: usize| {
            self.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(..))))
        };
        let lines = (0..self.columns.len()).map(|it| if is_number(it) { "--:|" } else { "---|" });
        say(format_args!("|{}", lines.collect::<String>()));
        for row in &self.rows {
            say(format_args!(
                "| {} |",
                row.iter().map(Cell::markdown).collect::<Vec<_>>().join(" | ")
            ));
        }
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| {
            let cells = self.columns.iter().cloned().zip(row.iter().map(Cell::json));
            Value::Object(cells.collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }
}

impl Report {
    /// Prints everything as Markdown.
    pub fn print(&self) {
        say(format_args!("{}, {} rounds", machine().join(", "), self.rounds));
        self.tables.iter().for_each(Table::print);
        say("");
        self.notes.iter().for_each(|note| say(format_args!("- {note}")));
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mut json = json!({ "machine": machine(), "rounds": self.rounds, "notes": self.notes });
        for table in &self.tables {
            json[table.name] = table.json();
        }
        json
    }
}

/// Kernel, CPU, version, and how busy all that has been in the last minute: with us.
fn machine() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    vec![
        format!("Linux {}", read("/proc/sys/kernel/osrelease")),
        format!("{cores} × {}", cpu.map_or("unknown CPU", |(_, name)| name)),
        format!("workshop {}", env!("CARGO_PKG_VERSION")),
        format!("load {}", load.split(' ').next().unwrap_or_default()),
    ]
}
