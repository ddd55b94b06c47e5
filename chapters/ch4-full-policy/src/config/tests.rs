use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Any JSON, small: strings are often almost right.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}/[0-9]{1,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-zA-Z.]{1,9}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

const KEYS: [&str; 9] = [
    "cniVersion",
    "name",
    "podcidr",
    "bridge",
    "mtu",
    "ipMasq",
    "leaseDir",
    "prevResult",
    "cni.dev/valid-attachments",
];

proptest! {
    #[test]
    fn no_input_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(conf) = read(bytes.as_slice()) {
            let _ = NetConf::parse(conf);
        }
    }

    #[test]
    fn one_wrong_field_is_refused_by_its_name_or_harmless(
        key in prop::sample::select(&KEYS[..]),
        value in any_json(),
    ) {
        let mut conf = json!({ "cniVersion": "1.1.0", "name": "n", "podcidr": "10.13.0.0/24" });
        conf[key] = value;
        match NetConf::parse(conf) {
            Ok(conf) => prop_assert!(is_identifier(&conf.name) && is_ifname(&conf.bridge)),
            Err(error) => {
                prop_assert!(matches!(error.code, 1 | 6 | 7));
                prop_assert!(error.to_string().contains(key), "{error}");
            }
        }
    }

    #[test]
    fn a_podcidr_that_is_taken_has_room_for_gateway_and_pods(
        address in any::<u32>(),
        prefix in 0u8..=32,
    ) {
        let text = format!("{}/{prefix}", Ipv4Addr::from(address));
        let conf = json!({ "cniVersion": "1.1.0", "name": "n", "podcidr": text });
        if let Ok(conf) = NetConf::parse(conf) {
            prop_assert!((8..=29).contains(&prefix));
            prop_assert_eq!(conf.podcidr.network(), Ipv4Addr::from(address));
            prop_assert!(conf.podcidr.contains(&conf.gateway()));
            prop_assert!(u32::from(conf.podcidr.broadcast()) - u32::from(conf.gateway()) >= 6);
        }
    }
}
