//! A node of one chapter, whose programs are measured.

use anyhow::{Context as _, Result, ensure};
use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec};

use super::cases::{Case, Mode};
use super::events::Events;
use super::maps::{LOCAL, Maps};
use super::pairs::Pairs;
use super::scene::Scene;
use crate::times::Times;

/// The same packet in a row: fewer than the events that the ring buffer has room for, so none is
/// lost while its reader sleeps.
pub const IN_A_ROW: usize = 10_000;
/// New connections for each round.
pub const NEW: usize = 1_000;

/// The node, its maps, and what is measured there.
pub struct Stage {
    node: Node,
    pods: [Pod; LOCAL.len()],
    maps: Maps,
    events: Events,
    results: Vec<(Case, Times)>,
}

impl Stage {
    /// A node of this chapter. From now on its maps are ours, and so is the ring buffer.
    pub fn new(
        chapter: &str,
        pairs: impl FnOnce() -> Result<Box<dyn Pairs>> + Send,
    ) -> Result<Self> {
        let node = Node::new()?;
        chapter::install(&node, chapter, Profile::Dev)?;
        let run = |name| node.run_pod(PodSpec::new(name));
        let pods =
            [run("client")?, run("server")?, run("open")?, run("isolated")?, run("guarded")?];
        node.stop_agent()?;
        let (maps, events) =
            node.enter(|| anyhow::Ok((Maps::open(&pods, pairs()?)?, Events::read()?)))??;
        Ok(Self { node, pods, maps, events, results: Vec::new() })
    }

    /// Fills the maps up to this size, and makes the cases that are measured.
    pub fn fill(
        &mut self,
        size: (u32, u32),
        cases: impl FnOnce(&Scene) -> Result<Vec<Case>> + Send,
    ) -> Result<()> {
        let Self { node, pods, maps, results, events } = self;
        node.enter(|| {
            maps.fill(size)?;
            let cases = cases(&Scene::new(pods)?)?.into_iter();
            *results = cases.map(|case| Ok((case, Times::new()?))).collect::<Result<Vec<_>>>()?;
            events.settle(); // those of the connections' making
            Ok(())
        })?
    }

    /// Each case once, in rotating order.
    pub fn round(&mut self, round: usize) -> Result<()> {
        let Self { node, maps, results, events, .. } = self;
        node.enter(|| {
            let mut turn: Vec<_> = results.iter_mut().collect();
            let count = turn.len();
            turn.rotate_left(round % count);
            turn.into_iter().try_for_each(|(case, times)| measure(case, times, maps, events))
        })?
    }

    /// What was measured.
    pub fn take_results(&mut self) -> Vec<(Case, Times)> {
        std::mem::take(&mut self.results)
    }

    /// How many events there were.
    pub fn stop(self) -> Result<usize> {
        self.events.stop()
    }
}

fn measure(case: &Case, times: &mut Times, maps: &Maps, events: &Events) -> Result<()> {
    let counter = || case.counts.as_ref().map_or(Ok(0), |it| maps.let_in_by(it));
    let (counted, seen) = (counter()?, events.seen());
    let packets = match case.mode {
        Mode::InARow => {
            times.record(case.run(IN_A_ROW)?)?;
            IN_A_ROW
        }
        Mode::Unread => {
            events.pause();
            case.run(2 * IN_A_ROW)?; // more than there is room for
            times.record(case.run(IN_A_ROW)?)?;
            events.resume();
            return Ok(());
        }
        Mode::OneByOne => {
            for _ in 0..NEW {
                times.record(case.run(1)?)?;
            }
            NEW
        }
    };
    // The program did what it was measured for, with each packet.
    let told = events.wait_for(seen + if case.tells { packets } else { 0 });
    told.with_context(|| format!("{} at {}", case.name, case.hook))?;
    let counted = counter()? - counted;
    let right = case.counts.is_none() || counted == packets as u64;
    ensure!(right, "{}: policy_map counts {counted} packets", case.name);
    Ok(())
}
