//! N sources, M destinations: a chain of N × M rules, a set of N × M pairs, and identities.

mod contender;
mod identities;
mod pairs;
mod rules;

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::warn;

use crate::report::{Cell, Report, Table};
use crate::times::{median, ms};
use contender::{CONNECTIONS, Contender, Cost, Filter, PACKETS};
use identities::Identities;
use rules::Rules;

/// N and M.
const SIZES: [(u32, u32); 5] = [(5, 2), (10, 10), (40, 25), (100, 100), (250, 200)];
/// Each size: installed by each, then measured in rotating turns.
pub fn run(rounds: usize) -> Result<Report> {
    let rules = Rules::available()?;
    let nobody = [false, true].map(|conntrack| Filter::Nobody { conntrack });
    let filters = nobody
        .into_iter()
        .chain(rules.into_iter().map(Filter::Rules))
        .chain([false, true].map(|own_labels| Filter::Identities(Identities { own_labels })));
    let contenders = filters.map(Contender::new).collect::<Result<Vec<_>>>()?;
    let mut costs = Vec::new();
    for size in SIZES {
        warn(format_args!("{} × {} …", size.0, size.1));
        let install = |it: &Contender| it.install(size);
        let mut now = contenders.iter().map(install).collect::<Result<Vec<_>>>()?;
        for round in 0..rounds {
            for nth in 0..contenders.len() {
                let nth = (round + nth) % contenders.len();
                contenders[nth].round(&mut now[nth])?;
            }
        }
        for (contender, cost) in contenders.iter().zip(&mut now) {
            contender.finish(cost, rounds).with_context(|| format!("{size:?}"))?;
        }
        costs.push(now);
    }
    Ok(report(&costs, rounds))
}

fn report(costs: &[Vec<Cost>], rounds: usize) -> Report {
    let columns = [
        "N × M",
        "who decides",
        "entries",
        "install, ms",
        "one more source, ms",
        "first packet, µs",
        "established, µs",
    ];
    let mut table = Table::new("iptables", &columns);
    for cost in costs.iter().flatten() {
        let size = format!("{} × {}", cost.size.0, cost.size.1);
        let time = |time: Duration| ms(time.as_secs_f64() * 1e3);
        let [new, established] =
            [&cost.new, &cost.established].map(|it| Cell::Number(median(it), 2));
        let install = if cost.install.is_zero() { Cell::Nothing } else { time(cost.install) };
        let one_more = cost.one_more.map_or(Cell::Nothing, time);
        let (name, entries) = (cost.name.as_str().into(), cost.entries.as_str().into());
        table.row([size.as_str().into(), name, entries, install, one_more, new, established]);
    }
    let notes = vec![
        format!(
            "One way, from one pod's UDP socket to another's, by one thread; medians of {rounds} \
             rounds' medians, {CONNECTIONS} connections and {PACKETS} packets of each once it \
             was answered; each on a node of its own, in rotating turns. \"Nobody\" is chapter \
             1, with conntrack for its masquerade as all others, and without."
        ),
        "First packet: the pair that is allowed is the last rule. Established: conntrack's \
         ESTABLISHED is the first rule, as people write it."
            .into(),
        "Chapter 3's pods are there before; the time is from the policy's file to its last entry \
         in the maps. Own labels: each pod is an identity of its own, the worst that can be."
            .into(),
        "Asserted for each: the client gets in, a stranger does not, and the counters of the \
         last rule, of ESTABLISHED and of the drop have moved."
            .into(),
    ];
    Report { rounds, tables: vec![table], notes }
}
