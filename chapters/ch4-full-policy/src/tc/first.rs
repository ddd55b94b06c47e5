//! What the kernel runs first on a link's hooks. Our filters may be there and nobody be asked: a
//! filter before them may let everything pass, and one that is not direct-action says nothing.

use anyhow::{Context as _, Result, ensure};
use futures_util::TryStreamExt as _;
use libbpf_rs::{TC_INGRESS, TcAttachPoint, libbpf_sys};
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption as Bpf, TcMessage, TcOption,
};
use nix::libc;
use rtnetlink::new_connection;

use crate::netlink;

/// A filter that the kernel asks.
#[derive(Default)]
struct Filter {
    handle: u32,
    /// Priority, and protocol in network byte order.
    info: u32,
    program: Option<u32>,
    /// What its program returns is the verdict.
    is_direct: bool,
}

/// What is on a link's two hooks.
pub struct Hooks<'a> {
    link: &'a str,
    ifindex: u32,
    ingress: Vec<Filter>,
    egress: Vec<Filter>,
}

impl<'a> Hooks<'a> {
    /// Looks at a link.
    pub fn of(link: &'a str, ifindex: u32) -> Result<Self> {
        let filters = |hook| {
            filters(ifindex, hook).with_context(|| format!("cannot look at the filters of {link}"))
        };
        Ok(Self { link, ifindex, ingress: filters("ingress")?, egress: filters("egress")? })
    }

    /// Is this program where ours belongs, and is what it returns the verdict?
    pub fn have(&self, program: u32, side: TcAttachPoint) -> bool {
        let (_, filters, _) = self.at(side);
        let ours = filters.iter().find(|filter| filter.is_ours());
        ours.is_some_and(|filter| filter.program == Some(program) && filter.is_direct)
    }

    /// Is nothing asked before ours?
    ///
    /// # Errors
    /// Something is. It is not ours to remove.
    pub fn ensure_first(&self, side: TcAttachPoint) -> Result<()> {
        let Self { link, ifindex, .. } = self;
        let (hook, filters, tcx) = self.at(side);
        ensure!(
            filters.first().is_some_and(Filter::is_ours),
            "a filter is asked before ours, see: tc filter show dev {link} {hook}; remove it"
        );
        ensure!(
            tcx_programs(*ifindex, tcx) == 0,
            "a TCX program is asked before our filter; run: bpftool net detach tcx_{hook} dev {link}"
        );
        Ok(())
    }

    /// A hook's name, its filters, and what TCX calls it.
    fn at(&self, side: TcAttachPoint) -> (&str, &[Filter], libbpf_sys::bpf_attach_type) {
        match side {
            TC_INGRESS => ("ingress", &self.ingress, libbpf_sys::BPF_TCX_INGRESS),
            _ => ("egress", &self.egress, libbpf_sys::BPF_TCX_EGRESS),
        }
    }
}

impl Filter {
    /// Is it where [`attach`](super::attach) puts ours: handle 1, priority 1, all protocols?
    fn is_ours(&self) -> bool {
        (self.handle, self.info) == (1, 1 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be()))
    }
}

/// The filters of a hook of clsact that packets meet, in the kernel's order. None without clsact.
fn filters(ifindex: u32, hook: &str) -> Result<Vec<Filter>> {
    let ifindex = i32::try_from(ifindex)?;
    let messages: Vec<TcMessage> = netlink::block_on(async {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        let request = handle.traffic_filter(ifindex).get();
        let request = if hook == "ingress" { request.ingress() } else { request.egress() };
        match request.execute().try_collect().await {
            // There is no clsact, or no link.
            Err(rtnetlink::Error::NetlinkError(_)) => Ok(Vec::new()),
            messages => Ok(messages?),
        }
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
