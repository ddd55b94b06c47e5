//! The ring buffer's reader, while no agent reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use ch3_identity_policy::maps::event::RawEvent;
use ch3_identity_policy::maps::{GLOBALS, Number};
use libbpf_rs::{ErrorKind, MapHandle, RingBufferBuilder};

/// The reader may not get a CPU at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A thread that reads events and counts them.
#[derive(Debug)]
pub struct Events {
    seen: Arc<AtomicUsize>,
    paused: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Events {
    /// Starts reading. To be called inside the node.
    pub fn read() -> Result<Self> {
        let map = MapHandle::from_pinned_path(format!("{GLOBALS}/events"))?;
        Number::open("listening_map")?.set(1)?;
        let seen = Arc::new(AtomicUsize::new(0));
        let [paused, over] = [false, false].map(|it| Arc::new(AtomicBool::new(it)));
        let (count, is_paused, is_over) = (seen.clone(), paused.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let mut ring = RingBufferBuilder::new();
            ring.add(&map, |event| {
                // What we send is TCP, pods send other things by themselves.
                let is_tcp = RawEvent::read(event).is_some_and(|event| event.proto == 6);
                count.fetch_add(usize::from(is_tcp), Ordering::Relaxed);
                0
            })?;
            let ring = ring.build()?;
            while !is_over.load(Ordering::Relaxed) {
                if is_paused.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                } else {
                    match ring.poll(Duration::from_millis(100)) {
                        // As when the whole machine was stopped for a moment.
                        Err(error) if error.kind() != ErrorKind::Interrupted => {
                            return Err(error.into());
                        }
                        _ => {}
                    }
                    ring.consume()?; // what woke nobody
                }
            }
            Ok(())
        });
        Ok(Self { seen, paused, over, thread })
    }

    /// How many there were by now.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Stops reading, and waits until that is so.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(150));
    }

    /// Goes on reading, and waits until nothing is left.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        self.settle();
    }

    /// Waits until nothing is left.
    pub fn settle(&self) {
        let mut before = None;
        while before != Some(self.seen()) {
            before = Some(self.seen());
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Waits until there were exactly so many.
    pub fn wait_for(&self, count: usize) -> Result<()> {
        let start = Instant::now();
        while self.seen() < count && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        ensure!(!self.thread.is_finished(), "the events' reader has ended");
        ensure!(self.seen() == count, "{} events were told, {count} should be", self.seen());
        Ok(())
    }

    /// Ends the thread; returns how many there were in all.
    pub fn stop(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the events' reader panicked"))??;
        Ok(self.seen.load(Ordering::Relaxed))
    }
}
