//! `ct_map`: each pod's two tables of connections (`bpf/conntrack.h`).

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
    /// Whom to.
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
    /// The opener's identity.
    pub src_id: u32,
    /// Of the endpoints, 0 for none.
    pub src_generation: u32,
    /// As above.
    pub dst_generation: u32,
    /// [`ANSWERED`], [`CLOSED`], and what the programs need.
    pub flags: u32,
}

/// Some packet came back.
pub const ANSWERED: u32 = 1;
/// Both ends have closed it.
pub const CLOSED: u32 = 6;

// SAFETY: integers only, no padding: any bytes are a value, and every byte is a part of it.
unsafe impl aya::Pod for CtKey {}
// SAFETY: as above.
unsafe impl aya::Pod for CtEntry {}

/// One of the tables.
pub type Table = HashMap<MapData, CtKey, CtEntry>;

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
        let mut tables = Self { map, endpoints: 1 }; // ids begin with 1
        while tables.id_of(2 * tables.endpoints + 1)?.is_some() {
            tables.endpoints += 1;
        }
        Ok(tables)
    }

    // #region make
    /// Makes tables for all endpoints with an id below `endpoints`. In one go: after each change of
    /// a map of maps the kernel waits until no program is running that may have seen it before.
    /// Tables are never emptied: who gets an id later has other generations.
    pub fn make(&mut self, endpoints: u32) -> Result<()> {
        if endpoints <= self.endpoints {
            return Ok(());
        }
        let entries = (256 * num_possible_cpus()? as u32).max(4096);
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
            ..Default::default()
        };
        let create = |_| {
            let (key, value) = (size_of::<CtKey>() as u32, size_of::<CtEntry>() as u32);
            MapHandle::create(MapType::LruHash, Some("ct_table"), key, value, entries, &options)
        };
        let indices = 2 * self.endpoints..2 * endpoints;
        let made: Vec<_> = indices.clone().map(create).collect::<Result<_, _>>()?;
        let keys: Vec<u8> = indices.clone().flat_map(u32::to_ne_bytes).collect();
        let values: Vec<u8> = made
            .iter()
            .flat_map(|table| table.as_fd().as_raw_fd().to_ne_bytes())
            .collect();
        self.map
            .update_batch(&keys, &values, made.len() as u32, MapFlags::ANY, MapFlags::ANY)
            .context("cannot write ct_map")?;
        self.endpoints = endpoints;
        Ok(())
    }
    // #endregion make

    /// For how many endpoints there are tables.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }

    /// All tables.
    pub fn all(&self) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        for index in 0..2 * self.endpoints {
            let Some(id) = self.id_of(index)? else { continue };
            tables.push(HashMap::try_from(Map::LruHashMap(MapData::from_id(id)?))?);
        }
        Ok(tables)
    }

    /// User space sees the id of a table, not the table.
    fn id_of(&self, index: u32) -> Result<Option<u32>> {
        let id = self.map.lookup(&index.to_ne_bytes(), MapFlags::ANY)?;
        Ok(id.and_then(|id| id.try_into().ok()).map(u32::from_ne_bytes))
    }
}
