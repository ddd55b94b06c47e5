//! Reports each qdisc and filter that goes or changes, by netlink.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::mpsc::Sender;

use anyhow::{Context as _, Result};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::filters::Veths;
use super::message::Message;

/// Tells the engine of each qdisc and filter that goes or changes, in a thread of its own.
pub fn watch(engine: Sender<Message>) -> Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let route = Some(SockProtocol::NetlinkRoute);
    let news = socket(AddressFamily::Netlink, SockType::Raw, flags, route)
        .and_then(|news| {
            let group = 1 << (libc::RTNLGRP_TC - 1);
            bind(news.as_raw_fd(), &NetlinkAddr::new(0, group)).map(|()| news)
        })
        .context("cannot listen to netlink's news of filters")?;
    let listen = move || while engine.send(Message::Filters(next(&news))).is_ok() {};
    std::thread::Builder::new().name("filters".into()).spawn(listen)?;
    Ok(())
}

/// Waits for news. What cannot be understood, or was lost, may be of any veth.
fn next(news: &OwnedFd) -> Veths {
    let mut buffer = vec![0; 1 << 16];
    let Ok(length) = recv(news.as_raw_fd(), &mut buffer, MsgFlags::empty()) else {
        return Veths::All;
    };
    let (mut rest, mut veths) = (&buffer[..length], BTreeSet::new());
    while !rest.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) else {
            return Veths::All;
        };
        let length = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(length.max(16)..).unwrap_or_default();
        if let NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::DelQueueDiscipline(tc)
            | RouteNetlinkMessage::NewQueueDiscipline(tc)
            | RouteNetlinkMessage::DelTrafficFilter(tc)
            | RouteNetlinkMessage::NewTrafficFilter(tc),
        ) = message.payload
        {
            veths.extend(u32::try_from(tc.header.index));
        }
    }
    Veths::These(veths)
}
