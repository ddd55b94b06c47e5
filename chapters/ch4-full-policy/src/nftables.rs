//! Requests to nftables over netlink: to start `nft` takes longer than all the rest of ADD.

use anyhow::{Context as _, Result};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use nix::errno::Errno;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES`: whose batch it is.
const NFTABLES: u16 = 10;

/// All of `changes` or none of them.
pub fn transaction(changes: &[(NfTablesMessage, u16)]) -> Result<()> {
    let control = |inner| message(NetfilterProtoFamily::Unspec, NFTABLES, inner, 0);
    let changes = changes.iter().map(|(change, flags)| {
        message(NetfilterProtoFamily::IPv4, 0, change.clone(), flags | NLM_F_ACK)
    });
    let mut batch = vec![control(ControlMessage::BatchBegin)];
    batch.extend(changes);
    batch.push(control(ControlMessage::BatchEnd));
    send(&batch).map(drop)
}

/// Is there such an object? One request for one object, no dump.
pub fn is_there(get: NfTablesMessage) -> Result<bool> {
    match send(&[message(NetfilterProtoFamily::IPv4, 0, get, NLM_F_ACK)]) {
        Ok(_) => Ok(true),
        Err(error) if error.downcast_ref() == Some(&Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// More chains than this are one for each Service, and to read ten thousand takes 20 ms.
const ENOUGH: usize = 256;

/// The chains of all tables, or the first hundreds. A dump, for they have no names that we could
/// know: a chain that is changed meanwhile may be missing.
pub fn chains() -> Result<Vec<(NetfilterProtoFamily, ChainMessage)>> {
    let all = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
    let answers = send(&[message(NetfilterProtoFamily::Unspec, 0, all, NLM_F_DUMP)])?;
    let chain = |answer: NetfilterMessage| match answer.inner {
        NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(chain)) => {
            Some((answer.header.family, chain))
        }
        _ => None,
    };
    Ok(answers.into_iter().filter_map(chain).collect())
}

fn message(
    family: NetfilterProtoFamily,
    res_id: u16,
    inner: impl Into<NetfilterMessageInner>,
    flags: u16,
) -> NetlinkMessage<NetfilterMessage> {
    let header = NetfilterHeader::new(family, 0, res_id);
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, inner));
    message.header.flags = NLM_F_REQUEST | flags;
    message
}

/// Sends messages as one datagram and returns the kernel's answers; an `Errno` is its first no.
fn send(messages: &[NetlinkMessage<NetfilterMessage>]) -> Result<Vec<NetfilterMessage>> {
    let mut socket = Socket::new(NETLINK_NETFILTER).context("cannot open an nftables socket")?;
    socket.bind_auto()?;
    // The kernel answers within send(): whatever it has to say is there when send() is done.
    socket.set_non_blocking(true)?;
    let mut datagram = Vec::new();
    for (sequence, message) in (1..).zip(messages) {
        let mut message = message.clone();
        message.header.sequence_number = sequence;
        message.finalize();
        let start = datagram.len();
        datagram.resize(start + message.buffer_len(), 0);
        message.serialize(&mut datagram[start..]);
    }
    socket.send_to(&datagram, &SocketAddr::new(0, 0), 0)?;

    // A dump ends with "done" instead of an ACK.
    let asked =
        messages.iter().filter(|it| it.header.flags & (NLM_F_ACK | NLM_F_DUMP) != 0).count();
    let (mut acknowledged, mut told) = (0, Vec::new());
    while acknowledged < asked && told.len() < ENOUGH {
        let (answers, _) = socket.recv_from_full().context("nftables did not answer")?;
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::<NetfilterMessage>::deserialize(rest)?;
            let length = answer.header.length as usize;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => told.push(message),
                NetlinkPayload::Done(_) => acknowledged += 1,
                NetlinkPayload::Error(error) => match error.code {
                    None => acknowledged += 1,
                    Some(code) => return Err(Errno::from_raw(-code.get()).into()),
                },
                _ => {}
            }
            let Some(next) = rest.get(length.next_multiple_of(4).min(rest.len())..) else { break };
            rest = next;
        }
    }
    Ok(told)
}
