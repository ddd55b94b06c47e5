#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

use std::net::Ipv4Addr;

use super::{Block, BlockSet, table};
use crate::agent::objects::spec::IpBlock;
use crate::agent::policy::ports::{PortSet, Range};

fn block(cidr: &str, except: &[&str]) -> Block {
    let except = Some(except.iter().map(|net| net.to_string()).collect());
    Block::parse(&IpBlock { cidr: cidr.into(), except, ..IpBlock::default() }).unwrap()
}

fn port(number: u16) -> PortSet {
    PortSet::of(vec![Range { proto: 6, first: number, last: number }])
}

/// What the kernel finds: the longest prefix.
fn found(table: &BlockSet, address: Ipv4Addr) -> PortSet {
    let around = table.iter().filter(|(net, _)| net.contains(&address));
    let longest = around.max_by_key(|(net, _)| net.prefix_len());
    longest.map_or_else(PortSet::default, |(_, ports)| ports.clone())
}

/// What the blocks say, one by one.
fn said(blocks: &[(&Block, PortSet)], address: Ipv4Addr) -> PortSet {
    let mut ports = PortSet::default();
    blocks.iter().filter(|(block, _)| block.has(address)).for_each(|it| ports.extend(&it.1));
    ports
}

#[test]
fn the_longest_prefix_says_what_all_blocks_around_it_allow() {
    let all = block("0.0.0.0/0", &["10.0.0.0/8"]);
    let ten = block("10.0.0.0/8", &["10.1.0.0/16", "10.2.0.0/31"]);
    let back = block("10.1.2.0/24", &["10.1.2.3/32"]);
    let one = block("10.1.2.3/32", &[]);
    let blocks = [(&all, port(1)), (&ten, port(2)), (&back, PortSet::ALL), (&one, port(4))];
    let table = table(&blocks);
    for address in [
        [9, 255, 255, 255],
        [10, 0, 0, 0],
        [10, 0, 255, 255],
        [10, 1, 0, 0],
        [10, 1, 1, 255],
        [10, 1, 2, 0],
        [10, 1, 2, 2],
        [10, 1, 2, 3],
        [10, 1, 2, 4],
        [10, 1, 2, 255],
        [10, 1, 3, 0],
        [10, 1, 255, 255],
        [10, 2, 0, 0],
        [10, 2, 0, 1],
        [10, 2, 0, 2],
        [10, 255, 255, 255],
        [11, 0, 0, 0],
        [0, 0, 0, 0],
        [255, 255, 255, 255],
    ] {
        let address = Ipv4Addr::from(address);
        assert_eq!(found(&table, address), said(&blocks, address), "{address}");
    }
}

#[test]
fn any_blocks_at_all_are_their_table() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        // Few bits, so that they nest and touch.
        let net = |random: &mut fastrand::Rng, min: u8| {
            let bits = random.u8(min..=32);
            let address = u32::from_be_bytes([10, 0, 0, 0]) | random.u32(0..64);
            ipnet::Ipv4Net::new(address.into(), bits).unwrap().trunc()
        };
        let blocks: Vec<_> = (0..random.usize(1..6))
            .map(|_| {
                let cidr = net(&mut random, 26);
                let inner = (0..4).map(|_| net(&mut random, 27));
                let inner = inner.filter(|it| cidr.contains(it) && *it != cidr);
                let inner: Vec<_> = inner.map(|net| net.to_string()).collect();
                let inner: Vec<_> = inner.iter().map(String::as_str).collect();
                (block(&cidr.to_string(), &inner), port(random.u16(1..4)))
            })
            .collect();
        let blocks: Vec<_> = blocks.iter().map(|(block, ports)| (block, ports.clone())).collect();
        let table = table(&blocks);
        for last in 0..64 {
            let address = Ipv4Addr::new(10, 0, 0, last);
            assert_eq!(found(&table, address), said(&blocks, address), "{blocks:?} {address}");
        }
    }
}

#[test]
fn an_except_outside_of_its_block_is_an_error() {
    for (cidr, except) in
        [("10.0.0.0/8", "11.0.0.0/16"), ("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.0/8", "x")]
    {
        let except = Some(vec![except.to_string()]);
        let block = IpBlock { cidr: cidr.into(), except, ..IpBlock::default() };
        assert!(format!("{:#}", Block::parse(&block).unwrap_err()).starts_with(".except[0]: "));
    }
    assert!(!block("::/0", &["fe80::/10"]).has(Ipv4Addr::LOCALHOST));
}
