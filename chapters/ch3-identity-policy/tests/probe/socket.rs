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
    /// A ping, which no server but the kernel answers. There are no ports.
    Icmp,
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
}

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
            Protocol::Sctp => Self::Sctp(raw(protocol, source)?),
            Protocol::Icmp => Self::Icmp(raw(protocol, source)?),
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
                let socket = tokio::net::UdpSocket::from_std(socket)?;
                let port = 0x8000 | token as u16; // a raw socket has none
                socket.send_to(&sctp_packet(port, to.port(), &token.to_be_bytes()), to).await?;
                let mut packet = [0; 256];
                loop {
                    let (length, from) = socket.recv_from(&mut packet).await?;
                    // A raw socket gets whatever comes.
                    if let Some((source, destination, answer)) = read_sctp(&packet[..length])
                        && (from.ip(), source, destination) == ((*to.ip()).into(), to.port(), port)
                    {
                        return Ok(String::from_utf8_lossy(&answer[8..]).into_owned());
                    }
                }
            }
            Self::Icmp(socket) => {
                let socket = tokio::net::UdpSocket::from_std(socket)?;
                let echo = echo_request(token);
                socket.send_to(&echo, to).await?;
                let mut packet = [0; 256];
                loop {
                    let (length, from) = socket.recv_from(&mut packet).await?;
                    let message = packet[20..length].to_vec();
                    // An answer is what was asked but for type and checksum.
                    if from.ip() == *to.ip() && message[0] == 0 && message[4..] == echo[4..] {
                        return Ok(String::new());
                    }
                }
            }
        }
    }
}

/// A raw socket that sends and gets packets of a protocol. UDP's calls do for it.
pub fn raw(protocol: Protocol, source: Ipv4Addr) -> io::Result<UdpSocket> {
    let number = i32::from(protocol.number());
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(number.into()))?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    non_blocking(OwnedFd::from(socket).into())
}

/// The common header, and what servers here understand.
pub fn sctp_packet(source: u16, destination: u16, content: &[u8]) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    [&ports[..], &[0; 8], content].concat()
}

/// A ping that carries the token.
fn echo_request(token: u64) -> Vec<u8> {
    let id = token as u16;
    let mut echo = [&[8, 0, 0, 0][..], &id.to_be_bytes(), &[0, 1], &token.to_be_bytes()].concat();
    let words = echo.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    echo[2..4].copy_from_slice(&checksum.to_be_bytes());
    echo
}

/// Source port, destination port and content of an IP packet.
pub fn read_sctp(packet: &[u8]) -> Option<(u16, u16, &[u8])> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let port = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    // The token at least.
    let content = packet.get(header + 12..).filter(|content| content.len() >= 8)?;
    Some((port(header)?, port(header + 2)?, content))
}

pub fn non_blocking(socket: UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    Ok(socket)
}
