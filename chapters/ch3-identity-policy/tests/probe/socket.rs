//! A client's socket: opened in a pod, asked from anywhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// How a pod is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    /// By hand: not every kernel has such sockets.
    Sctp,
    /// An echo request. It has no port.
    Icmp,
    /// One without ports that nobody uses.
    Other,
}

/// Those with ports.
pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

impl Protocol {
    /// As Kubernetes and IANA call it.
    pub fn name(self) -> &'static str {
        ["TCP", "UDP", "SCTP", "ICMP"][self as usize]
    }

    /// Its number in IP.
    pub fn number(self) -> u8 {
        [6, 17, 132, 1][self as usize]
    }
}

/// A socket belongs to the network in which it was opened.
#[derive(Debug)]
pub enum Client {
    Tcp(TcpSocket),
    Udp(UdpSocket),
    Sctp(UdpSocket),
    Icmp(UdpSocket),
    Other(UdpSocket),
}

/// IP protocols.
pub const ICMP: i32 = 1;
pub const SCTP: i32 = 132;
pub const OTHER: i32 = 253; // for experiments: RFC 3692
/// ICMP messages.
pub const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;

impl Client {
    /// To be called inside the client's network.
    pub fn open(protocol: Protocol, source: Ipv4Addr) -> io::Result<Self> {
        let any_port = SocketAddrV4::new(source, 0);
        Ok(match protocol {
            Protocol::Tcp => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(any_port.into())?;
                Self::Tcp(socket)
            }
            Protocol::Udp => Self::Udp(non_blocking(UdpSocket::bind(any_port)?)?),
            Protocol::Sctp => Self::Sctp(raw(SCTP, source)?),
            Protocol::Icmp => Self::Icmp(raw(ICMP, source)?),
            Protocol::Other => Self::Other(raw(OTHER, source)?),
        })
    }

    /// Asks who is there. UDP and SCTP carry the token along, since their servers can tell what
    /// has arrived though the answer did not come back; of TCP `arrived` is told.
    pub async fn ask(
        self,
        to: SocketAddrV4,
        token: u64,
        arrived: impl Fn(u64),
    ) -> io::Result<String> {
        match self {
            Self::Tcp(socket) => {
                let mut stream = socket.connect(to.into()).await?;
                arrived(token);
                stream.shutdown().await?;
                let mut name = String::new();
                stream.read_to_string(&mut name).await?;
                Ok(name)
            }
            Self::Udp(socket) => {
                let socket = tokio::net::UdpSocket::from_std(socket)?;
                socket.connect(to).await?;
                socket.send(&token.to_be_bytes()).await?;
                let mut answer = [0; 256];
                let length = socket.recv(&mut answer).await?;
                Ok(String::from_utf8_lossy(&answer[8..length]).into_owned())
            }
            Self::Sctp(socket) => {
                let port = 0x8000 | token as u16; // a raw socket has none
                let packet = sctp_packet(port, to.port(), &token.to_be_bytes());
                raw_ask(socket, to, &packet, |answer| match read_sctp(answer)? {
                    (source, destination, answer) if (source, destination) == (to.port(), port) => {
                        Some(String::from_utf8_lossy(&answer[8..]).into_owned())
                    }
                    _ => None,
                })
                .await
            }
            // The kernel answers, and does not say by which name.
            Self::Icmp(socket) => {
                raw_ask(socket, to, &echo_request(token), |answer| {
                    let its = (ECHO_REPLY, &token.to_be_bytes()[..]);
                    (read_icmp(answer)? == its).then(String::new)
                })
                .await
            }
            Self::Other(socket) => {
                raw_ask(socket, to, &token.to_be_bytes(), |answer| {
                    let name = content(answer)?.strip_prefix(&token.to_be_bytes())?;
                    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
                })
                .await
            }
        }
    }
}

/// Sends a packet and waits for what is an answer to it: a raw socket gets whatever comes.
async fn raw_ask(
    socket: UdpSocket,
    to: SocketAddrV4,
    packet: &[u8],
    answer: impl Fn(&[u8]) -> Option<String>,
) -> io::Result<String> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    socket.send_to(packet, to).await?;
    let mut packet = [0; 256];
    loop {
        let (length, from) = socket.recv_from(&mut packet).await?;
        if from.ip() == *to.ip()
            && let Some(name) = answer(&packet[..length])
        {
            return Ok(name);
        }
    }
}

/// A raw socket that sends and gets packets of a protocol. UDP's calls do for it.
pub fn raw(protocol: i32, source: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol.into()))?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    non_blocking(OwnedFd::from(socket).into())
}

/// The common header, and what servers here understand.
pub fn sctp_packet(source: u16, destination: u16, content: &[u8]) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    [&ports[..], &[0; 8], content].concat()
}

/// What is behind the IP header.
pub fn content(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0xf) * 4..)
}

/// Source port, destination port and content of an IP packet.
pub fn read_sctp(packet: &[u8]) -> Option<(u16, u16, &[u8])> {
    let sctp = content(packet)?;
    let port = |at: usize| Some(u16::from_be_bytes(sctp.get(at..at + 2)?.try_into().ok()?));
    // The token at least.
    let content = sctp.get(12..).filter(|content| content.len() >= 8)?;
    Some((port(0)?, port(2)?, content))
}

/// An echo request whose content and id are the token's.
fn echo_request(token: u64) -> Vec<u8> {
    let id = (token as u16).to_be_bytes();
    let mut message = [&[ECHO, 0, 0, 0][..], &id, &[0, 1], &token.to_be_bytes()].concat();
    let words = message.chunks(2).map(|it| u32::from(u16::from_be_bytes([it[0], it[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !(sum as u16);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// Type and content of an ICMP message.
pub fn read_icmp(packet: &[u8]) -> Option<(u8, &[u8])> {
    let icmp = content(packet)?;
    Some((*icmp.first()?, icmp.get(8..)?))
}

pub fn non_blocking(socket: UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    Ok(socket)
}
