//! What the kernel runs first on a link's hooks. Our filters may be there and nobody be asked: a
//! filter before them may let everything pass, and one that is not direct-action says nothing.

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use libbpf_rs::libbpf_sys;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption as Bpf, TcMessage, TcOption,
};
use nix::libc;
use rtnetlink::new_connection;

use crate::netlink;

/// A filter that the kernel asks.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    handle: u32,
    /// Priority, and protocol in network byte order.
    info: u32,
    program: Option<u32>,
    /// What its program returns is the verdict.
    is_direct: bool,
}

/// Handle 1, priority 1, all protocols: where [`attach`](super::Programs::attach) puts ours.
const OURS: (u32, u32) = (1, 1 << 16 | (libc::ETH_P_ALL as u16).to_be() as u32);

/// Are these programs the first that see what comes in, and what goes out? `false` if they are not
/// there as they should be, which attaching mends.
///
/// # Errors
/// Something runs before them, which is not ours to remove.
pub fn are_first(link: &str, ifindex: u32, ingress: u32, egress: u32) -> Result<bool> {
    for (hook, tcx, program) in [
        ("ingress", libbpf_sys::BPF_TCX_INGRESS, ingress),
        ("egress", libbpf_sys::BPF_TCX_EGRESS, egress),
    ] {
        let filters = filters(ifindex, hook).context("cannot look at filters")?;
        let ours = |filter: &Filter| (filter.handle, filter.info) == OURS;
        match filters.first() {
            Some(first) if ours(first) => {
                if first.program != Some(program) || !first.is_direct {
                    return Ok(false);
                }
            }
            Some(_) if filters.iter().any(ours) => bail!(
                "a filter is asked before ours, see: tc filter show dev {link} {hook}; remove it"
            ),
            _ => return Ok(false),
        }
        ensure!(
            tcx_programs(ifindex, tcx) == 0,
            "a TCX program is asked before our filter; run: bpftool net detach tcx_{hook} dev {link}"
        );
    }
    Ok(true)
}

/// The filters of a hook of clsact that packets meet, in the kernel's order. None without clsact.
fn filters(ifindex: u32, hook: &str) -> Result<Vec<Filter>> {
    let ifindex = i32::try_from(ifindex)?;
    let messages: Vec<TcMessage> = netlink::block_on(async {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        let request = handle.traffic_filter(ifindex).get();
        let request = if hook == "ingress" { request.ingress() } else { request.egress() };
        Ok(request.execute().try_collect().await.unwrap_or_default())
    })?;
    Ok(messages.iter().filter_map(filter).collect())
}

/// Nothing for what no packet meets: a priority without a filter, and the chains that only a filter
/// leads to.
fn filter(message: &TcMessage) -> Option<Filter> {
    let handle = u32::from(message.header.handle);
    let mut filter = Filter { handle, info: message.header.info, ..Filter::default() };
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Chain(chain) if *chain != 0 => return None,
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(Bpf::ProgId(id)) => filter.program = Some(*id),
                        TcOption::Bpf(Bpf::Flags(flags)) => {
                            filter.is_direct = flags.contains(TcBpfFlags::DirectAction);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (handle != 0).then_some(filter)
}

/// How many TCX programs there are, which run before all filters; a kernel before 6.6 has none.
fn tcx_programs(ifindex: u32, hook: libbpf_sys::bpf_attach_type) -> u32 {
    let mut opts = libbpf_sys::bpf_prog_query_opts {
        sz: size_of::<libbpf_sys::bpf_prog_query_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    // SAFETY: opts lives through the call, says how large it is, and has no room for ids: only their
    // number is asked for.
    let failed = unsafe { libbpf_sys::bpf_prog_query_opts(ifindex as i32, hook, &mut opts) };
    // SAFETY: both members of the union are a number of 32 bits.
    if failed == 0 { unsafe { opts.__bindgen_anon_1.count } } else { 0 }
}
