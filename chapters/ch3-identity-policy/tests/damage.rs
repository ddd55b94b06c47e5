//! What somebody has damaged is found and mended; and what cannot be mended, nobody calls sound.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod plugin;
mod scene;

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::ptr::null;
use std::time::Duration;

use ch3_identity_policy::maps;
use lab::{Node, Pod, Sandbox};
use libbpf_rs::{ProgramHandle, libbpf_sys};
use nix::net::if_::if_nametoindex;
use plugin::{AGENT, ready_node};
use scene::{FRIENDS_ONLY, OUTSIDE, ask, eventually, is_answered, outside, reaches, run, within};

/// An isolated pod, a friend, a stranger, and somebody outside.
struct Scene {
    node: Node,
    pods: [Pod; 3],
    outside: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let node = ready_node();
        node.apply(FRIENDS_ONLY).unwrap();
        let pods = ["victim", "friend", "stranger"].map(|name| run(&node, name));
        let outside = outside(&node);
        let scene = Self { node, pods, outside };
        scene.expect_protected();
        scene
    }

    fn veth(&self, pod: usize) -> String {
        let endpoints = ask(&self.node, "endpoint list -o json");
        let address = self.pods[pod].ip.unwrap().to_string();
        let it = endpoints.as_array().unwrap().iter().find(|it| it["address"] == address.as_str());
        it.unwrap()["link"].as_str().unwrap().into()
    }

    /// Soon all is as the policy says, and the agent has nothing to complain of.
    #[track_caller]
    fn expect_protected(&self) {
        let [victim, friend, stranger] = &self.pods;
        eventually("status is green", || {
            ask(&self.node, "status")["problems"].as_array().unwrap().is_empty()
        });
        eventually("the friend reaches it", || reaches(&self.node, friend, victim));
        assert!(!reaches(&self.node, stranger, victim));
        assert!(!self.reaches_from_outside());
    }

    fn reaches_from_outside(&self) -> bool {
        let victim = self.pods[0].ip.unwrap().to_string();
        let ping = || self.outside.run(&self.node, &["ping", "-c1", "-W1", &victim]).is_ok();
        is_answered(&self.node, ping)
    }

    fn restart_agent(&self) {
        self.node.stop_agent().unwrap();
        self.node.start_agent(Path::new(AGENT)).unwrap();
    }
}

#[test]
fn filters_that_somebody_took_away_are_attached_anew_at_once() {
    let s = Scene::new();
    let veth = s.veth(0);
    for damage in [
        "tc qdisc del dev VETH clsact",
        "tc filter del dev VETH egress",
        "tc filter del dev VETH ingress",
        "tc filter replace dev VETH egress handle 1 prio 1 bpf da bytecode '1,6 0 0 0'",
    ] {
        s.node.sh(&damage.replace("VETH", &veth)).unwrap();
        // By netlink's news: the agent looks by itself every ten seconds only.
        within(Duration::from_secs(5), damage, || {
            let attached = s.node.run(&["bpftool", "net"]).unwrap();
            let ours = attached.lines().filter(|line| line.starts_with(&*veth));
            ours.filter(|it| it.contains("from_pod") || it.contains("to_pod")).count() == 2
        });
        s.expect_protected();
    }
}

#[test]
fn filters_that_went_while_no_agent_was_there_are_back_when_it_is_ready() {
    let s = Scene::new();
    let veth = s.veth(0);
    s.node.stop_agent().unwrap();
    s.node.sh(&format!("tc qdisc del dev {veth} clsact")).unwrap();
    assert!(s.reaches_from_outside(), "without filters it is open, or this proves nothing");
    s.node.start_agent(Path::new(AGENT)).unwrap();
    assert!(!s.reaches_from_outside());
    s.expect_protected();
}

#[test]
fn pods_of_before_get_programs_with_the_new_maps_when_the_old_maps_are_lost() {
    for damage in [
        "umount /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf",
        "rm -r /sys/fs/bpf/tc/globals",
        "rm /sys/fs/bpf/tc/globals/policy_map",
        "rm /sys/fs/bpf/tc/globals/epoch_map",
    ] {
        let s = Scene::new();
        s.node.stop_agent().unwrap();
        s.node.sh(damage).unwrap();
        // Nobody can read the counters now: five pings would not get lost all.
        let victim = s.pods[0].ip.unwrap().to_string();
        let pings = s.outside.run(&s.node, &["ping", "-c5", "-i0.2", "-W2", &victim]);
        assert!(pings.is_err(), "the last policy holds: {damage}");
        s.node.start_agent(Path::new(AGENT)).unwrap();
        s.expect_protected();
        let new = run(&s.node, "new");
        assert!(reaches(&s.node, &s.pods[1], &new) && reaches(&s.node, &new, &s.pods[1]));
        assert!(!reaches(&s.node, &new, &s.pods[0]), "{damage}");
        s.restart_agent();
        s.expect_protected();
    }
}

#[test]
fn forwarding_that_somebody_turned_off_is_turned_on_again() {
    let s = Scene::new();
    s.node.sh("sysctl -qw net.ipv4.ip_forward=0").unwrap();
    let friend = &s.pods[1];
    within(Duration::from_secs(30), "the outside is there again", || {
        friend.run(&s.node, &["ping", "-c1", "-W1", &OUTSIDE.to_string()]).is_ok()
    });
}

#[test]
fn what_cannot_be_mended_is_told_wherever_one_looks() {
    let s = Scene::new();
    let veth = s.veth(0);
    // A qdisc that has no egress.
    s.node.stop_agent().unwrap();
    let ingress = format!("tc qdisc del dev {veth} clsact && tc qdisc add dev {veth} ingress");
    s.node.sh(&ingress).unwrap();
    s.node.start_agent(Path::new(AGENT)).unwrap();
    let told = || ask(&s.node, "status")["problems"].to_string().contains("is not protected");
    eventually("it is told", told);
    let list = s.node.run(&[lab::AGENT, "endpoint", "list"]).unwrap();
    assert!(list.contains("default/victim is not protected"), "{list}");
    let explained = s.node.run(&[lab::AGENT, "explain", "stranger", "victim"]).unwrap();
    assert!(explained.contains("But default/victim is not protected"), "{explained}");
    let metrics = s.node.run(&[lab::AGENT, "metrics"]).unwrap();
    assert!(metrics.contains("ebpf_agent_unprotected_endpoints 1"), "{metrics}");
    assert!(s.node.run(&[lab::AGENT, "status"]).is_err(), "who asks by exit status learns it");
    s.node.sh(&format!("tc qdisc del dev {veth} ingress")).unwrap();
    within(Duration::from_secs(30), "it is mended", || !told());
    s.expect_protected();
}

#[test]
fn a_filter_whose_verdict_does_not_count_is_replaced() {
    let s = Scene::new();
    let veth = s.veth(0);
    let is_direct = || {
        let filters = s.node.run(&["tc", "filter", "show", "dev", &veth, "egress"]).unwrap();
        filters.contains("direct-action")
    };
    assert!(is_direct());
    s.node
        .sh(&format!(
            "tc filter replace dev {veth} egress protocol all prio 1 handle 1 \
             bpf object-pinned /sys/fs/bpf/ebpfcni-to-pod"
        ))
        .unwrap();
    eventually("it is direct-action again", is_direct);
    s.expect_protected();
}

#[test]
fn what_is_asked_before_the_filters_is_told() {
    let s = Scene::new();
    let veth = s.veth(0);
    let index = s.node.enter(|| if_nametoindex(veth.as_str()).unwrap()).unwrap();
    let told = |what: &str| ask(&s.node, "status")["problems"].to_string().contains(what);
    // The younger handle comes first.
    s.node
        .sh(&format!(
            "tc filter add dev {veth} egress protocol all prio 1 handle 2 bpf da bytecode '1,6 0 0 0'"
        ))
        .unwrap();
    eventually("the filter is told of", || told("a filter is asked before ours"));
    s.node.sh(&format!("tc filter del dev {veth} egress prio 1 handle 2 bpf")).unwrap();
    eventually("it is told no more", || !told("a filter is asked before ours"));
    s.expect_protected();
    // Any program that netlink says nothing of.
    let tcx = |attach: bool| {
        let program = ProgramHandle::from_pinned_path("/sys/fs/bpf/ebpfcni-to-pod").unwrap();
        let (program, index) = (program.as_fd().as_raw_fd(), index.cast_signed());
        let hook = libbpf_sys::BPF_TCX_EGRESS;
        // SAFETY: integers, and no options.
        let failed = unsafe {
            match attach {
                true => libbpf_sys::bpf_prog_attach_opts(program, index, hook, null()),
                false => libbpf_sys::bpf_prog_detach_opts(program, index, hook, null()),
            }
        };
        assert_eq!(failed, 0);
    };
    s.node.enter(|| tcx(true)).unwrap();
    eventually("the TCX program is told of", || told("a TCX program is asked before"));
    s.node.enter(|| tcx(false)).unwrap();
    eventually("it is told no more", || !told("a TCX program"));
    s.expect_protected();
}

#[test]
fn a_veth_that_is_renamed_is_told_of_and_its_pod_not_forgotten() {
    let s = Scene::new();
    let veth = s.veth(0);
    let told = || ask(&s.node, "status")["problems"].to_string().contains("is called other0 now");
    s.node.sh(&format!("ip link set {veth} name other0")).unwrap();
    eventually("it is told", told);
    s.node.sh(&format!("ip link set other0 name {veth}")).unwrap();
    eventually("it is told no more", || !told());
    s.expect_protected();
}

/// All of it is written and nothing of it counts: there an agent may die.
#[test]
fn a_change_that_an_agent_died_of_before_it_counted_is_made_by_the_next() {
    let s = Scene::new();
    s.node.stop_agent().unwrap();
    s.node.delete_object(lab::Kind::NetworkPolicy, "default", "friends-only").unwrap();
    s.node.apply(&FRIENDS_ONLY.replace("app: friend", "app: stranger")).unwrap();
    let friends = s
        .node
        .enter(|| {
            let next = maps::epoch().unwrap() + 1;
            let mut map = maps::policy_map().unwrap();
            let pairs: Vec<_> = map.iter().map(Result::unwrap).collect();
            let (friend, entry) = *pairs.iter().find(|(key, _)| key.src_id != 0).unwrap();
            map.insert(friend, entry.until(next), maps::IN_PLACE).unwrap();
            // The only one else whose traffic the policies tell apart.
            let stranger = maps::PolicyKey { src_id: friend.src_id + 1, ..friend };
            map.insert(stranger, maps::PolicyEntry::allow(next), 0).unwrap();
            friend
        })
        .unwrap();
    s.node.start_agent(Path::new(AGENT)).unwrap();
    let [victim, friend, stranger] = &s.pods;
    let as_the_policy_says =
        || reaches(&s.node, stranger, victim) && !reaches(&s.node, friend, victim);
    assert!(as_the_policy_says());
    // Also when what has ended is removed.
    let pairs = || maps::policy_map().unwrap().keys().map(Result::unwrap).collect::<Vec<_>>();
    eventually("it is swept", || s.node.enter(|| !pairs().contains(&friends)).unwrap());
    assert!(as_the_policy_says());
}

#[test]
fn a_second_agent_does_not_write_beside_the_first() {
    let s = Scene::new();
    let second = format!("timeout 40 {} run --manifests /run/lab/manifests --node x", lab::AGENT);
    let error = format!("{:#}", s.node.sh(&second).unwrap_err());
    assert!(error.contains("another ebpf-agent runs on this node"), "{error}");
    s.expect_protected();
}
