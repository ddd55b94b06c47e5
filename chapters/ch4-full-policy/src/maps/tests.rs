//! The agent's view of the maps is the programs' own: size, and place of each field, as BTF has them.

use std::mem::offset_of;

use libbpf_rs::btf::types::{Enum, MemberAttr, Struct, Union};
use libbpf_rs::btf::{Btf, HasSize as _};

use super::ct::{CtEntry, CtKey};
use super::endpoint::{Endpoint, EndpointEntry};
use super::event::{Hook, REASONS, RawEvent};
use super::policy::{BlockKey, Policy, PolicyEntry, PolicyKey, PortKey};
use super::versions::Version;

/// A type's size, and the places of its fields by name.
type Layout = (usize, Vec<(String, usize)>);

macro_rules! layout {
    ($type:ty: $($($field:ident).+),+) => {{
        let fields = vec![$((stringify!($($field).+), offset_of!($type, $($field).+))),+];
        let last = |path: &str| path.rsplit(['.', ' ']).next().unwrap().to_string();
        (size_of::<$type>(), fields.into_iter().map(|(path, at)| (last(path), at)).collect())
    }};
}

fn btf() -> Btf<'static> {
    Btf::from_path(concat!(env!("OUT_DIR"), "/layouts.bpf.o")).unwrap()
}

/// As the compiler of the programs laid it out.
fn theirs(name: &str) -> Layout {
    let btf = btf();
    let layout: Struct<'_> = btf.type_by_name(name).unwrap();
    let fields = layout.iter().map(|member| {
        let MemberAttr::Normal { offset } = member.attr else { panic!("a bit field") };
        // A union has no name: its first member's stands for it.
        let name = match member.name.filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => {
                let union: Union<'_> = btf.type_by_id(member.ty).unwrap();
                union.iter().next().unwrap().name.unwrap().to_owned()
            }
        };
        (name.into_string().unwrap(), offset as usize / 8)
    });
    (layout.size(), fields.collect())
}

#[test]
fn structs_are_laid_out_as_in_the_programs() {
    let ours: [(&str, Layout); 8] = [
        (
            "ct_entry",
            layout!(CtEntry: expires, src_id, src_generation, dst_generation, flags,
                target_port),
        ),
        ("ct_key", layout!(CtKey: saddr, daddr, sport, dport, proto)),
        (
            "endpoint",
            layout!(Version<Endpoint>: since, value.identity, value.ifindex, value.generation,
                value.id, value.flags, value.mac),
        ),
        ("endpoint_entry", layout!(EndpointEntry: versions, lock)),
        (
            "event",
            layout!(RawEvent: time, saddr, daddr, sport, dport, src_id, dst_id, ifindex, length,
                proto, reason, hook, reserved),
        ),
        ("policy", layout!(Version<Policy>: since, value.ports, value.blocks)),
        ("policy_entry", layout!(PolicyEntry: versions, lock, reserved, packets, bytes)),
        ("policy_key", layout!(PolicyKey: src_id, dst_id, direction)),
    ];
    for (name, layout) in ours {
        assert_eq!(layout, theirs(name), "{name}");
    }
    // The kernel's keys begin with the prefix's length.
    let keys: [(&str, Layout); 2] = [
        ("block_key", layout!(BlockKey: set, address)),
        ("port_key", layout!(PortKey: set, proto, reserved, port)),
    ];
    for (name, (size, fields)) in keys {
        let fields = fields.into_iter().map(|(field, at)| (field, at + 4));
        let fields = [("prefixlen".to_string(), 0)].into_iter().chain(fields).collect::<Vec<_>>();
        assert_eq!((size + 4, fields), theirs(name), "{name}");
    }
}

/// `DROP_NOT_ITS_OWN` as `DropNotItsOwn`.
fn camel_case(name: &str) -> String {
    let word = |word: &str| format!("{}{}", &word[..1], word[1..].to_lowercase());
    name.split('_').map(word).collect()
}

fn enumerators(name: &str) -> Vec<(String, i64)> {
    let btf = btf();
    let constants: Enum<'_> = btf.type_by_name(name).unwrap();
    constants.iter().map(|it| (camel_case(it.name.unwrap().to_str().unwrap()), it.value)).collect()
}

#[test]
fn reasons_and_hooks_are_numbered_as_in_the_programs() {
    let reasons = REASONS.map(|(reason, _)| (format!("{reason:?}"), reason as i64));
    let count = ("Reasons".to_string(), REASONS.len() as i64);
    assert_eq!(reasons.into_iter().chain([count]).collect::<Vec<_>>(), enumerators("reason"));
    let hooks =
        [Hook::FromPod, Hook::ToPod, Hook::ToNode].map(|it| (format!("Hook{it:?}"), it as i64));
    assert_eq!(hooks.to_vec(), enumerators("hook"));
    for (number, (reason, name)) in REASONS.into_iter().enumerate() {
        assert_eq!((reason as usize, reason.as_str()), (number, name));
    }
}
