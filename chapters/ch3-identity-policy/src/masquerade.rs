//! One nftables rule for the network hides the pods behind the node's address.
//!
//! What `nft` would print:
//! ```text
//! table ip ebpfcni-<network> {
//!   chain pods-10.13.0.0/24 {
//!     type nat hook postrouting priority srcnat; policy accept;
//!     ip saddr 10.13.0.0/24 oifname != "bridge0" masquerade
//!   }
//! }
//! ```
//! Said over netlink, since to start `nft` takes longer than all the rest of ADD.

use anyhow::{Context as _, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, Expressions, Hook, InetHookNumber,
    Meta, MetaKey, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage,
    TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use nix::errno::Errno;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::config::NetConf;

/// `NFNL_SUBSYS_NFTABLES`: whose batch it is.
const NFTABLES: u16 = 10;
/// `NF_IP_PRI_NAT_SRC`, nft's `priority srcnat`.
const SRCNAT: u32 = 100;
/// `NFT_PAYLOAD_NETWORK_HEADER`, and where the source address is in IPv4's.
const NETWORK_HEADER: u32 = 1;
const SOURCE_ADDRESS: u32 = 12;

/// Makes the rule unless it is there. To be called under the network's lock.
pub fn ensure(conf: &NetConf) -> Result<()> {
    if exists(conf)? {
        return Ok(());
    }
    let table = TableMessage { attributes: vec![TableAttribute::Name(table(conf))] };
    let chain = ChainMessage {
        attributes: vec![
            ChainAttribute::Table(self::table(conf)),
            ChainAttribute::Name(chain(conf)),
            ChainAttribute::Type("nat".into()),
            ChainAttribute::Hook(vec![
                Hook::Number(InetHookNumber::PostRouting.into()),
                Hook::Priority(SRCNAT),
            ]),
        ],
    };
    let rule = RuleMessage {
        attributes: vec![
            RuleAttribute::Table(self::table(conf)),
            RuleAttribute::Chain(self::chain(conf)),
            RuleAttribute::Expressions(expressions(conf).into_iter().map(Into::into).collect()),
        ],
    };
    // One batch is one transaction: where the chain is, the rule is.
    transaction(&[
        (NfTablesMessage::NewTable(table), NLM_F_CREATE),
        (NfTablesMessage::NewChain(chain), NLM_F_CREATE),
        (NfTablesMessage::NewRule(rule), NLM_F_CREATE | NLM_F_APPEND),
    ])
    .context("cannot install the masquerade rule")
}

/// Is the chain there? It came in one transaction with its rule.
pub fn exists(conf: &NetConf) -> Result<bool> {
    let attributes = vec![ChainAttribute::Table(table(conf)), ChainAttribute::Name(chain(conf))];
    is_there(NfTablesMessage::GetChain(ChainMessage { attributes }))
}

/// Takes the network's table away, rule and all. Costs the kernel some 20 ms, so it asks first.
pub fn remove(conf: &NetConf) -> Result<()> {
    let table = TableMessage { attributes: vec![TableAttribute::Name(table(conf))] };
    if is_there(NfTablesMessage::GetTable(table.clone()))? {
        transaction(&[(NfTablesMessage::DeleteTable(table), 0)])
            .context("cannot remove the masquerade rule")?;
    }
    Ok(())
}

/// One request for one object, no dump.
fn is_there(get: NfTablesMessage) -> Result<bool> {
    match send(&[message(NetfilterProtoFamily::IPv4, 0, get, NLM_F_ACK)]) {
        Ok(()) => Ok(true),
        Err(error) if error.downcast_ref() == Some(&Errno::ENOENT) => Ok(false),
        Err(error) => Err(error).context("cannot look for the masquerade rule"),
    }
}

fn table(conf: &NetConf) -> String {
    format!("ebpfcni-{}", conf.name)
}

/// Named after the network's addresses: with another `podcidr` there is another rule to make.
fn chain(conf: &NetConf) -> String {
    format!("pods-{}", conf.podcidr)
}

/// `ip saddr <podcidr> oifname != <bridge> masquerade`
fn expressions(conf: &NetConf) -> Vec<Expressions> {
    let value = |bytes: &[u8]| DataAttribute::Value(bytes.to_vec());
    let compare = |operator, bytes: &[u8]| {
        Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(operator),
            Cmp::Data(value(bytes)),
        ])
    };
    let mut bridge = [0; 16];
    bridge[..conf.bridge.len()].copy_from_slice(conf.bridge.as_bytes());
    vec![
        Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(NETWORK_HEADER),
            Payload::Offset(SOURCE_ADDRESS),
            Payload::Len(4),
        ]),
        Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(4),
            Bitwise::Mask(value(&conf.podcidr.netmask().octets())),
            Bitwise::Xor(value(&[0; 4])),
        ]),
        compare(Operator::Equal, &conf.podcidr.network().octets()),
        Expressions::Meta(vec![
            Meta::Key(MetaKey::Oifname),
            Meta::DestinationRegister(Register::Reg1),
        ]),
        compare(Operator::NotEqual, &bridge),
        Expressions::Other { expression_type: "masq".into(), attributes: vec![] },
    ]
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

/// All of `changes` or none of them.
fn transaction(changes: &[(NfTablesMessage, u16)]) -> Result<()> {
    let control = |inner| message(NetfilterProtoFamily::Unspec, NFTABLES, inner, 0);
    let changes = changes.iter().map(|(change, flags)| {
        message(NetfilterProtoFamily::IPv4, 0, change.clone(), flags | NLM_F_ACK)
    });
    let mut batch = vec![control(ControlMessage::BatchBegin)];
    batch.extend(changes);
    batch.push(control(ControlMessage::BatchEnd));
    send(&batch)
}

/// Sends messages as one datagram; an `Errno` is the kernel's first no.
fn send(messages: &[NetlinkMessage<NetfilterMessage>]) -> Result<()> {
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

    let asked = messages.iter().filter(|message| message.header.flags & NLM_F_ACK != 0).count();
    let mut acknowledged = 0;
    while acknowledged < asked {
        let (answers, _) = socket.recv_from_full().context("nftables did not answer")?;
        let mut rest = answers.as_slice();
        while !rest.is_empty() {
            let answer = NetlinkMessage::<NetfilterMessage>::deserialize(rest)?;
            if let NetlinkPayload::Error(error) = &answer.payload {
                match error.code {
                    None => acknowledged += 1,
                    Some(code) => return Err(Errno::from_raw(-code.get()).into()),
                }
            }
            let length = answer.header.length as usize;
            let Some(next) = rest.get(length.next_multiple_of(4).min(rest.len())..) else { break };
            rest = next;
        }
    }
    Ok(())
}
