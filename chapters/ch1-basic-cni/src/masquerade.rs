//! One nftables rule for the network hides the pods behind the node's address.
//!
//! What `nft` would print:
//! ```text
//! table ip ebpfcni-<network> {
//!   chain pods-10.13.0.0/24-bridge0-lo {
//!     type nat hook postrouting priority srcnat; policy accept;
//!     ip saddr 10.13.0.0/24 oifname != "bridge0" oifname != "lo" masquerade
//!   }
//! }
//! ```

use anyhow::{Context as _, Result};
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, Expressions, Hook, InetHookNumber,
    Meta, MetaKey, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage,
    TableAttribute, TableMessage,
};

use crate::config::{NetConf, Network};
use crate::nftables::{is_there, transaction};

/// `NF_IP_PRI_NAT_SRC`, nft's `priority srcnat`.
const SRCNAT: u32 = 100;
/// `NFT_PAYLOAD_NETWORK_HEADER`, and where the source address is in IPv4's.
const NETWORK_HEADER: u32 = 1;
const SOURCE_ADDRESS: u32 = 12;

/// Makes the rule as the configuration says: none without `ipMasq`, and none of what it said
/// before. To be called under the network's lock.
pub fn ensure(conf: &NetConf) -> Result<()> {
    if !conf.ip_masq {
        return remove(conf);
    }
    if exists(conf)? {
        return Ok(());
    }
    let chain = ChainMessage {
        attributes: vec![
            ChainAttribute::Table(table_name(conf)),
            ChainAttribute::Name(chain_name(conf)),
            ChainAttribute::Type("nat".into()),
            ChainAttribute::Hook(vec![
                Hook::Number(InetHookNumber::PostRouting.into()),
                Hook::Priority(SRCNAT),
            ]),
        ],
    };
    let rule = RuleMessage {
        attributes: vec![
            RuleAttribute::Table(table_name(conf)),
            RuleAttribute::Chain(chain_name(conf)),
            RuleAttribute::Expressions(expressions(conf).into_iter().map(Into::into).collect()),
        ],
    };
    // One batch is one transaction: where the chain is, the rule is, and no other.
    let mut changes = Vec::new();
    if is_there(NfTablesMessage::GetTable(table(conf)))? {
        changes.push((NfTablesMessage::DeleteTable(table(conf)), 0));
    }
    changes.extend([
        (NfTablesMessage::NewTable(table(conf)), NLM_F_CREATE),
        (NfTablesMessage::NewChain(chain), NLM_F_CREATE),
        (NfTablesMessage::NewRule(rule), NLM_F_CREATE | NLM_F_APPEND),
    ]);
    transaction(&changes).context("cannot install the masquerade rule")
}

/// Is the chain there? It came in one transaction with its rule.
pub fn exists(conf: &NetConf) -> Result<bool> {
    let attributes =
        vec![ChainAttribute::Table(table_name(conf)), ChainAttribute::Name(chain_name(conf))];
    is_there(NfTablesMessage::GetChain(ChainMessage { attributes }))
        .context("cannot look for the masquerade rule")
}

/// Takes the network's table away, rule and all. Costs the kernel some 20 ms, so it asks first.
pub fn remove(network: &Network) -> Result<()> {
    let found = is_there(NfTablesMessage::GetTable(table(network)));
    if found.context("cannot look for the masquerade rule")? {
        transaction(&[(NfTablesMessage::DeleteTable(table(network)), 0)])
            .context("cannot remove the masquerade rule")?;
    }
    Ok(())
}

fn table_name(network: &Network) -> String {
    format!("ebpfcni-{}", network.name)
}

fn table(network: &Network) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(table_name(network))] }
}

/// Named after what its rule says: with another `podcidr` or `bridge` it is another one.
fn chain_name(conf: &NetConf) -> String {
    format!("pods-{}-{}-lo", conf.podcidr, conf.bridge)
}

/// `ip saddr <podcidr> oifname != <bridge> oifname != lo masquerade`. The bridge's address is of the
/// network as well: what the node sends there to itself goes by `lo`, and stays as it is.
fn expressions(conf: &NetConf) -> Vec<Expressions> {
    let value = |bytes: &[u8]| DataAttribute::Value(bytes.to_vec());
    let compare = |operator, bytes: &[u8]| {
        Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(operator),
            Cmp::Data(value(bytes)),
        ])
    };
    let is_not = |link: &str| {
        let mut name = [0; 16];
        name[..link.len()].copy_from_slice(link.as_bytes());
        compare(Operator::NotEqual, &name)
    };
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
        is_not(&conf.bridge),
        is_not("lo"),
        Expressions::Other { expression_type: "masq".into(), attributes: vec![] },
    ]
}
