//! Requests to the kernel over rtnetlink, each of which ends in the kernel's own word.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkExtentMask, LinkMessage, Prop,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, new_connection};

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The kernel said no; nothing has changed.
    #[error("the kernel refused: {0}")]
    Refused(Errno),
    /// The socket broke; what has changed is not known.
    #[error("the netlink socket broke before the kernel answered")]
    NoAnswer,
}

/// A route netlink socket. It stays in the network namespace in which it was opened.
#[derive(Debug, Clone)]
pub struct Netlink(Handle);

impl Netlink {
    /// Opens a socket in the calling thread's network namespace, inside a tokio runtime.
    pub fn open() -> Result<Self> {
        let (mut connection, handle, _) =
            new_connection().context("cannot open a netlink socket")?;
        // rtnetlink's own `execute()` takes a broken socket for success: ask for the ACK.
        connection.set_forward_ack(true);
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// Sends one request and waits for the kernel's ACK; `flags` beside REQUEST and ACK.
    /// The answer is the object asked for, if any.
    pub async fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>, RequestError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut answers = self.0.clone().request(request).map_err(|_| RequestError::NoAnswer)?;
        let mut found = None;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => found = Some(message),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                NetlinkPayload::Error(error) => {
                    return Err(RequestError::Refused(Errno::from_raw(-error.raw_code())));
                }
                _ => {}
            }
        }
        Err(RequestError::NoAnswer)
    }

    /// Changes a link, and keeps it without IPv6: the kernel shall give it no link-local address.
    /// It refuses to hear of that where it does no IPv6 itself: with `ipv6.disable=1`, and on a
    /// link whose MTU is below 1280.
    pub async fn change(
        &self,
        message: fn(LinkMessage) -> RouteNetlinkMessage,
        link: LinkMessage,
    ) -> Result<(), RequestError> {
        let mut without = link.clone();
        without.attributes.push(no_ipv6_link_local());
        match self.request(message(without), 0).await {
            Err(RequestError::Refused(Errno::EAFNOSUPPORT)) => self.request(message(link), 0).await,
            changed => changed,
        }
        .map(drop)
    }

    /// One link by its name or its second one, or `None`. Never a dump: those fail when links come and go (EINTR).
    pub async fn link(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut message = LinkUnspec::new_with_name(name).build();
        // Counters are the larger half of the answer, and nobody here reads them.
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.request(RouteNetlinkMessage::GetLink(message), 0).await {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(link)),
            Err(RequestError::Refused(Errno::ENODEV)) => Ok(None),
            Ok(_) => Err(RequestError::NoAnswer.into()),
            Err(error) => Err(error).with_context(|| format!("cannot look up link {name}")),
        }
    }

    /// The kernel's choice for a destination, as `ip route get` shows it, by one link or by any;
    /// `None` if there is no route.
    pub async fn route(&self, to: Ipv4Addr, link: Option<u32>) -> Result<Option<Route>> {
        let mut message = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32);
        if let Some(link) = link {
            message = message.output_interface(link);
        }
        let found = match self.request(RouteNetlinkMessage::GetRoute(message.build()), 0).await {
            Ok(Some(RouteNetlinkMessage::NewRoute(found))) => found,
            Ok(_) | Err(RequestError::Refused(_)) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot ask for {to}")),
        };
        let mut route = Route { kind: found.header.kind, gateway: None, link: None };
        for attribute in &found.attributes {
            match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(it)) => route.gateway = Some(*it),
                RouteAttribute::Oif(index) => route.link = Some(*index),
                _ => {}
            }
        }
        Ok(Some(route))
    }

    /// Gives a link a second name (`ip link property add … altname …`). No other link can have it.
    pub async fn add_name(&self, link: &str, name: &str) -> Result<(), RequestError> {
        let mut message = LinkUnspec::new_with_name(link).build();
        message.attributes.push(LinkAttribute::PropList(vec![Prop::AltIfName(name.into())]));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewLinkProp(message), flags).await.map(drop)
    }

    /// The IPv4 addresses of a link. The kernel has only a dump for that, of which links that come
    /// and go, or a socket that breaks, may hide a part.
    pub async fn addresses(&self, index: u32) -> Result<Vec<AddressMessage>> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetAddress(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = self.0.clone().request(request).map_err(|_| RequestError::NoAnswer)?;
        let mut addresses = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                    addresses.push(address);
                }
                NetlinkPayload::Error(error) => {
                    return Err(RequestError::Refused(Errno::from_raw(-error.raw_code())).into());
                }
                _ => {}
            }
        }
        addresses.retain(|address| address.header.index == index);
        Ok(addresses)
    }
}

/// What [`Netlink::route`] finds.
#[derive(Debug)]
pub struct Route {
    /// For instance `Local` if the address is our own.
    pub kind: RouteType,
    /// Who takes it further.
    pub gateway: Option<Ipv4Addr>,
    /// By which link it leaves.
    pub link: Option<u32>,
}

/// Runs requests on this thread; the plugin has no other.
pub fn block_on<T>(requests: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(requests)
}

/// A link's MAC address as people write it.
pub fn mac_of(link: &LinkMessage) -> String {
    let address = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => Some(bytes.as_slice()),
        _ => None,
    });
    mac(address.unwrap_or_default())
}

/// A MAC address as people write it.
pub fn mac(bytes: &[u8]) -> String {
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(":")
}

/// A link's MTU in bytes.
pub fn mtu_of(link: &LinkMessage) -> u32 {
    let mtu = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    mtu.unwrap_or_default()
}

/// Keeps the kernel from giving a link an IPv6 link-local address when it comes up.
fn no_ipv6_link_local() -> LinkAttribute {
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
        In6AddrGenMode::None,
    )])])
}
