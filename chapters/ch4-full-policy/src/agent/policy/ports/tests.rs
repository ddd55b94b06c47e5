use super::{PortSet, Range, TCP, UDP, prefixes};

fn tcp(first: u16, last: u16) -> Range {
    Range { proto: TCP, first, last }
}

#[test]
fn a_range_is_its_prefixes_and_nothing_else() {
    for (first, last, count) in [
        (0, 65_535, 1),
        (1, 65_535, 16),
        (1, 65_534, 30),
        (80, 80, 1),
        (1024, 65_535, 6),
        (65_535, 65_535, 1),
        (10_000, 20_000, 11),
    ] {
        let prefixes: Vec<_> = prefixes(tcp(first, last)).collect();
        assert_eq!(prefixes.len(), count, "{first}-{last}");
        let mask = |bits: u32| u16::MAX.checked_shl(16 - bits).unwrap_or(0);
        for port in 0..=u16::MAX {
            let found =
                prefixes.iter().filter(|(prefix, bits)| port & mask(*bits) == *prefix).count();
            assert_eq!(found, usize::from((first..=last).contains(&port)), "{port}");
        }
    }
}

#[test]
fn equal_contents_are_equal_sets() {
    let whole = PortSet::of(vec![tcp(1, 200)]);
    assert_eq!(PortSet::of(vec![tcp(50, 200), tcp(1, 100)]), whole);
    assert_eq!(PortSet::of(vec![tcp(101, 200), tcp(1, 100), tcp(7, 7)]), whole);
    assert_ne!(PortSet::of(vec![tcp(102, 200), tcp(1, 100)]), whole);
    let both = PortSet::of(vec![tcp(1, 200), Range { proto: UDP, first: 53, last: 53 }]);
    assert!(whole.is_within(&both) && !both.is_within(&whole));
    assert!(both.is_within(&PortSet::ALL) && !PortSet::ALL.is_within(&both));
    assert!(both.has(Some((UDP, 53))) && !both.has(Some((TCP, 201))) && !both.has(None));
    assert!(PortSet::ALL.has(None));
}
