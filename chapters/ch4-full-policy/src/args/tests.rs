use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_environment_makes_the_parser_panic(
        command in "ADD|DEL|CHECK|GC|STATUS|VERSION|.{0,5}",
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 5),
    ) {
        let names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"];
        let request = Request::from_env(|name| match name {
            "CNI_COMMAND" => Some(OsString::from(&command)),
            _ => names.iter().zip(&values).find(|(n, _)| **n == name)
                .map(|(_, value)| OsString::from_vec(value.clone())),
        });
        match request {
            Ok(Some(Request::Add { attachment, .. })) => {
                prop_assert!(is_identifier(&attachment.container_id));
                prop_assert!(is_ifname(&attachment.host_link()));
            }
            Ok(_) => {}
            Err(error) => prop_assert_eq!(error.code, code::INVALID_ENVIRONMENT),
        }
    }
}

#[test]
fn host_links_are_stable_and_differ() {
    let link = |id: usize, ifname: &str| {
        let container_id = format!("container{id}");
        Attachment { container_id, ifname: ifname.into(), ..Attachment::default() }.host_link()
    };
    // Written down, since an upgraded plugin must find what the older one made.
    assert_eq!(link(0, "eth0"), "veth75ede28240b");
    let links: HashSet<_> = (0..5000).flat_map(|id| [link(id, "eth0"), link(id, "eth1")]).collect();
    assert_eq!(links.len(), 10_000);
}
