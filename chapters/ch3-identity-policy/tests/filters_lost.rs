//! Filters that somebody took away are attached anew; what cannot be repaired, nothing calls sound.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

mod chapter;
mod plugin;
#[path = "scene/protected.rs"]
mod protected;
mod scene;

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::ptr::null;
use std::time::Duration;

use libbpf_rs::{ProgramHandle, libbpf_sys};
use nix::net::if_::if_nametoindex;
use plugin::AGENT;
use protected::Protected;
use scene::{ask, eventually, within};

#[test]
fn filters_that_somebody_took_away_are_attached_anew_at_once() {
    let s = Protected::new();
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
    let s = Protected::new();
    let veth = s.veth(0);
    s.node.stop_agent().unwrap();
    s.node.sh(&format!("tc qdisc del dev {veth} clsact")).unwrap();
    assert!(s.reaches_from_outside(), "without filters it is open, or this proves nothing");
    s.node.start_agent(Path::new(AGENT)).unwrap();
    assert!(!s.reaches_from_outside());
    s.expect_protected();
}

#[test]
fn what_cannot_be_mended_is_told_wherever_one_looks() {
    let s = Protected::new();
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
    let s = Protected::new();
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
    let s = Protected::new();
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
    // Ours are kept what they should be all the same.
    s.node
        .sh(&format!(
            "tc filter replace dev {veth} egress protocol all prio 1 handle 1 \
             bpf object-pinned /sys/fs/bpf/ebpfcni-to-pod"
        ))
        .unwrap();
    let filters = || s.node.run(&["tc", "filter", "show", "dev", &veth, "egress"]).unwrap();
    eventually("both are direct-action", || filters().matches("direct-action").count() == 2);
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
    let s = Protected::new();
    let veth = s.veth(0);
    let told = || ask(&s.node, "status")["problems"].to_string().contains("is called other0 now");
    s.node.sh(&format!("ip link set {veth} name other0")).unwrap();
    eventually("it is told", told);
    s.node.sh(&format!("ip link set other0 name {veth}")).unwrap();
    eventually("it is told no more", || !told());
    s.expect_protected();
}
