//! Pods' namespaces beside those that people make by `ip netns`.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod fake;

use fake::{namespaces, ready_node};
use lab::{Node, PodSpec};

/// What people do to a node's mounts while pods run. `ip netns add` makes /run/netns a shared
/// mount of its own, and under private parents takes along copies of what is mounted in there.
const MOUNTS: [&str; 10] = [
    "ip netns add by-hand",
    "ip netns add by-hand; ip netns del by-hand; ip netns add by-hand",
    "mount --make-rprivate /; ip netns add by-hand",
    "mount --make-rslave /; ip netns add by-hand",
    "ip netns add by-hand; mount --make-rprivate /; ip netns add another",
    "mount --make-rshared /; ip netns add by-hand; mount --make-shared /run",
    "mount --bind /run/netns /run/netns; ip netns add by-hand",
    "mount --make-rprivate /; mkdir /run/copy; mount --rbind /run /run/copy; ip netns add by-hand",
    "ip netns add by-hand; umount -l /run/netns; ip netns add by-hand-2",
    "unshare --mount --propagation private sleep infinity </dev/null >/dev/null 2>&1 & ip netns add by-hand",
];

fn run(node: &Node, name: &str) -> String {
    let netns = node.run_pod(PodSpec::new(name)).unwrap().sandbox.unwrap().netns().to_string();
    netns.rsplit('/').next().unwrap().to_string()
}

#[test]
fn pods_are_removed_whatever_was_mounted_meanwhile() {
    for mounts in MOUNTS {
        let node = ready_node("1.0.0");
        let own = [run(&node, "before"), {
            node.sh(mounts).unwrap();
            run(&node, "after")
        }];
        for name in ["before", "after"] {
            let removed = node.remove_pod("default", name);
            removed.unwrap_or_else(|error| panic!("{mounts}: {name}: {error:#}"));
        }
        // Neither the file nor a mount, whoever's, holds the namespace.
        let left = namespaces(&node).into_iter().filter(|name| own.contains(name)).count();
        let held = node.sh("cat /proc/[0-9]*/mountinfo 2>/dev/null || true").unwrap();
        assert!(left == 0 && !own.iter().any(|name| held.contains(name)), "{mounts}: {held}");
    }
}

#[test]
fn ip_netns_makes_lists_enters_and_removes_namespaces_beside_pods() {
    let node = ready_node("1.0.0");
    let before = run(&node, "before");
    node.sh("ip netns add by-hand").unwrap();
    let after = run(&node, "after");
    node.sh("ip netns add another").unwrap();
    for name in [&before, &after, "by-hand", "another"] {
        assert!(node.sh("ip netns list").unwrap().contains(name), "{name}");
        node.sh(&format!("ip netns exec {name} ip link show lo")).unwrap();
    }
    // Also one of a pod, which is removed all the same.
    for name in ["by-hand", &before, "another", &after] {
        node.sh(&format!("ip netns del {name}")).unwrap();
    }
    assert_eq!(namespaces(&node), [""; 0]);
    node.remove_pod("default", "before").unwrap();
    node.remove_pod("default", "after").unwrap();
}
