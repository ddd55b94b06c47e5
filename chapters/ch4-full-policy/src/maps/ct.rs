//! `ct_map`: each pod's two tables of connections (`bpf/conntrack.h`).

use std::fs;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType, libbpf_sys, num_possible_cpus};

use super::GLOBALS;

/// `struct ct_key`: a connection as a pod sees it. Addresses as in [`super::key`], ports in
/// network byte order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CtKey {
    /// Who opened it.
    pub saddr: u32,
    /// The other end.
    pub daddr: u32,
    /// The opener's port, or an echo's id.
    pub sport: u16,
    /// The other's.
    pub dport: u16,
    /// The IP protocol's number.
    pub proto: u32,
}

/// `struct ct_entry`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtEntry {
    /// Nanoseconds since boot.
    pub expires: u64,
    /// The opener's identity; or, if [`TRANSLATED`], the address behind the Service.
    pub src_id: u32,
    /// Of the endpoints, 0 for none.
    pub src_generation: u32,
    /// As above.
    pub dst_generation: u32,
    /// [`ANSWERED`], [`CLOSED`], [`TRANSLATED`], and what the programs need.
    pub flags: u16,
    /// If [`TRANSLATED`], the port behind the Service, in network byte order.
    pub target_port: u16,
}

/// Some packet came back.
pub const ANSWERED: u16 = 1;
/// Both ends have closed it.
pub const CLOSED: u16 = 6;
/// The pod asked a Service.
pub const TRANSLATED: u16 = 16;

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for CtKey {}
// SAFETY: as above.
unsafe impl aya::Pod for CtEntry {}

/// One of the tables.
pub type Table = HashMap<MapData, CtKey, CtEntry>;

/// Where the tables are pinned by their number: without a pin only CAP_SYS_ADMIN could open one.
const TABLES: &str = "/sys/fs/bpf/tc/globals/ct_tables";

/// `ct_map`, and how many endpoints have tables in it: those with an id below.
#[derive(Debug)]
pub struct Tables {
    map: MapHandle,
    endpoints: u32,
}

impl Tables {
    /// Opens the pinned map.
    pub fn open() -> Result<Self> {
        let path = format!("{GLOBALS}/ct_map");
        let map = MapHandle::from_pinned_path(&path)
            .with_context(|| format!("cannot open {path}; does ebpf-agent run?"))?;
        let mut endpoints = 1; // ids begin with 1
        while map.lookup(&(2 * endpoints + 1u32).to_ne_bytes(), MapFlags::ANY)?.is_some() {
            endpoints += 1;
        }
        Ok(Self { map, endpoints })
    }

    /// Makes tables for all endpoints with an id below `endpoints`. In one go: after each change of
    /// a map of maps the kernel waits until no program is running that may have seen it before.
    /// Tables are never emptied: an endpoint that gets an id later has other generations.
    pub fn make(&mut self, endpoints: u32) -> Result<()> {
        let endpoints = endpoints.min(self.map.max_entries() / 2);
        if endpoints <= self.endpoints {
            return Ok(());
        }
        fs::create_dir_all(TABLES).with_context(|| format!("cannot make {TABLES}"))?;
        let numbers = 2 * self.endpoints..2 * endpoints;
        let tables = numbers.clone().map(table).collect::<Result<Vec<_>>>()?;
        let keys: Vec<u8> = numbers.flat_map(u32::to_ne_bytes).collect();
        let fd = |table: &MapHandle| table.as_fd().as_raw_fd().to_ne_bytes();
        let values: Vec<u8> = tables.iter().flat_map(fd).collect();
        let (count, any) = (tables.len() as u32, MapFlags::ANY);
        // Before Linux 5.16 (commit 9263dddc7b6f) a map of maps takes one at a time.
        if self.map.update_batch(&keys, &values, count, any, any).is_err() {
            for (key, value) in keys.chunks(4).zip(values.chunks(4)) {
                self.map.update(key, value, any).context("cannot write ct_map")?;
            }
        }
        self.endpoints = endpoints;
        Ok(())
    }

    /// For how many endpoints there are tables.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }

    /// All tables.
    pub fn all(&self) -> Result<Vec<Table>> {
        let open = |number| {
            let path = format!("{TABLES}/{number}");
            let table = MapData::from_pin(&path).with_context(|| format!("cannot open {path}"))?;
            Ok(HashMap::try_from(Map::LruHashMap(table))?)
        };
        (2..2 * self.endpoints).map(open).collect()
    }
}

/// Makes a table and pins it.
fn table(number: u32) -> Result<MapHandle> {
    let entries = (256 * num_possible_cpus()? as u32).max(4096);
    let (key, value) = (size_of::<CtKey>() as u32, size_of::<CtEntry>() as u32);
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let table =
        MapHandle::create(MapType::LruHash, Some("ct_table"), key, value, entries, &options);
    let mut table = table.context("cannot make a table of connections")?;
    let path = format!("{TABLES}/{number}");
    let _ = fs::remove_file(&path); // of an agent that was killed here
    table.pin(&path).with_context(|| format!("cannot pin {path}"))?;
    Ok(table)
}
