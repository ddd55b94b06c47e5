//! A packet at a hook, and what is to become of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ch3_identity_policy::maps::PolicyKey;

use super::maps::remote;
use super::scene::Hook;
use crate::test_run::{Meta, Program};

const PASS: u32 = 0;
const DROP: u32 = 2;
/// How a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The same packet again and again.
    InARow,
    /// The same, while nobody reads the events and the ring buffer is full.
    Unread,
    /// Each packet is timed alone, and may be another one.
    OneByOne,
}

/// One kind of packet at one hook.
#[derive(Debug)]
pub struct Case {
    /// In the table.
    pub name: &'static str,
    /// `from_pod`, `to_pod`, `to_node` or the empty program.
    pub hook: &'static str,
    /// How it is measured.
    pub mode: Mode,
    /// Each packet is told of.
    pub tells: bool,
    /// The entry that counts it.
    pub counts: Option<PolicyKey>,
    program: Arc<Program>,
    meta: Meta,
    frame: Vec<u8>,
    verdict: u32,
    sources: u32,
    /// How many connections it has opened: the next one is another.
    opened: Option<Cell<u32>>,
}

impl Case {
    /// At a hook, again and again; it passes.
    pub fn new(name: &'static str, hook: &Hook, frame: Vec<u8>) -> Self {
        Self {
            name,
            hook: hook.name,
            mode: Mode::InARow,
            tells: false,
            counts: None,
            program: hook.program.clone(),
            meta: hook.meta,
            frame,
            verdict: PASS,
            sources: 0,
            opened: None,
        }
    }

    /// It does not pass.
    pub fn denied(self, mode: Mode) -> Self {
        Self { verdict: DROP, tells: mode == Mode::InARow, mode, ..self }
    }

    /// It opens a connection, each time another one. `sources`: from so many other pods, or always from the same. `first`: not one of those
    /// that were opened before.
    pub fn opens(self, sources: u32, first: u32) -> Self {
        let (tells, opened) = (self.hook == "to_pod", Some(Cell::new(first)));
        Self { mode: Mode::OneByOne, tells, sources, opened, ..self }
    }

    /// Each time alone, since the program changes the packet's mark.
    pub fn alone(self) -> Self {
        Self { mode: Mode::OneByOne, ..self }
    }

    /// Does it belong to a connection that is known, and passes without an event?
    pub fn is_known(&self) -> bool {
        self.opened.is_none() && !self.tells && self.verdict == PASS
    }

    /// An entry of `policy_map` counts it.
    pub fn counts(self, entry: PolicyKey) -> Self {
        Self { counts: Some(entry), ..self }
    }

    /// One measurement. A wrong verdict is an error.
    pub fn run(&self, repeat: usize) -> Result<Duration> {
        let mut frame = self.frame.clone();
        if let Some(opened) = &self.opened {
            let nth = opened.replace(opened.get() + 1);
            frame[34..36].copy_from_slice(&(10_000 + (nth % 50_000) as u16).to_be_bytes());
            frame[36..38].copy_from_slice(&(80 + (nth / 50_000) as u16).to_be_bytes());
            if self.sources > 0 {
                frame[26..30].copy_from_slice(&remote(nth % self.sources).octets());
            }
        }
        let (verdict, time) = self.program.run(&frame, self.meta, repeat).context(self.name)?;
        ensure!(verdict == self.verdict, "{}: the verdict is {verdict}", self.name);
        Ok(time)
    }
}
