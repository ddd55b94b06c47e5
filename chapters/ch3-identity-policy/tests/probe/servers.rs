//! Servers in pods: they say who they are, and note what has arrived.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::socket::{
    ECHO, ICMP, OTHER, SCTP, content, non_blocking, raw, read_icmp, read_sctp, sctp_packet,
};

/// On which every pod listens, unless a test says otherwise.
pub const PORTS: [u16; 2] = [80, 81];

/// Tokens of what has got through, answered or not.
#[derive(Debug, Clone, Default)]
pub struct Arrived(Arc<Mutex<HashSet<u64>>>);

impl Arrived {
    pub fn note(&self, token: u64) {
        self.0.lock().unwrap().insert(token);
    }

    pub fn has(&self, token: u64) -> bool {
        self.0.lock().unwrap().contains(&token)
    }

    fn note_bytes(&self, content: &[u8]) {
        if let Some(token) = content.get(..8) {
            self.note(u64::from_be_bytes(token.try_into().unwrap()));
        }
    }
}

/// One thread serves all sockets of all pods.
#[derive(Debug)]
pub struct Servers {
    thread: Handle,
    pub arrived: Arrived,
    /// The thread ends with this.
    _stop: oneshot::Sender<()>,
}

/// The servers of a pod; they end with this.
pub type Serving = JoinSet<()>;

/// A pod's sockets.
#[derive(Debug)]
pub struct Sockets {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    sctp: UdpSocket,
    icmp: UdpSocket,
    other: UdpSocket,
    ports: Vec<u16>,
}

impl Sockets {
    /// To be called inside the pod's network.
    pub fn open(ports: &[u16]) -> Self {
        let on = |port: &u16| (Ipv4Addr::UNSPECIFIED, *port);
        let listen = |port| {
            let listener = TcpListener::bind(on(port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Self {
            tcp: ports.iter().map(listen).collect(),
            udp: ports
                .iter()
                .map(|port| non_blocking(UdpSocket::bind(on(port)).unwrap()).unwrap())
                .collect(),
            sctp: raw(SCTP, Ipv4Addr::UNSPECIFIED).unwrap(),
            icmp: raw(ICMP, Ipv4Addr::UNSPECIFIED).unwrap(),
            other: raw(OTHER, Ipv4Addr::UNSPECIFIED).unwrap(),
            ports: ports.into(),
        }
    }
}

impl Servers {
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let thread = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || runtime.block_on(stopped));
        Self { thread, arrived: Arrived::default(), _stop: stop }
    }

    pub fn serve(&self, name: &str, sockets: Sockets) -> Serving {
        let _inside = self.thread.enter();
        let mut serving = JoinSet::new();
        for listener in sockets.tcp {
            serving.spawn(tcp(tokio::net::TcpListener::from_std(listener).unwrap(), name.into()));
        }
        let from_std = |socket| tokio::net::UdpSocket::from_std(socket).unwrap();
        for socket in sockets.udp {
            serving.spawn(udp(from_std(socket), name.into(), self.arrived.clone()));
        }
        let (name, arrived) = (String::from(name), &self.arrived);
        let sctp = from_std(sockets.sctp);
        serving.spawn(sctp_server(sctp, name.clone(), arrived.clone(), sockets.ports));
        serving.spawn(icmp_witness(from_std(sockets.icmp), arrived.clone()));
        serving.spawn(other_server(from_std(sockets.other), name, arrived.clone()));
        serving
    }
}

/// Says who it is, and then whatever it hears.
async fn tcp(listener: tokio::net::TcpListener, name: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let name = name.clone();
        connections.spawn(async move {
            if stream.write_all(name.as_bytes()).await.is_ok() {
                let (mut hears, mut says) = stream.split();
                let _ = tokio::io::copy(&mut hears, &mut says).await; // until the client is gone
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn udp(socket: tokio::net::UdpSocket, name: String, arrived: Arrived) {
    let mut content = [0; 64];
    while let Ok((length, client)) = socket.recv_from(&mut content).await {
        arrived.note_bytes(&content[..length]);
        let answer = [&content[..length], name.as_bytes()].concat();
        let _ = socket.send_to(&answer, client).await; // who is gone needs no answer
    }
}

async fn sctp_server(
    socket: tokio::net::UdpSocket,
    name: String,
    arrived: Arrived,
    ports: Vec<u16>,
) {
    let mut packet = [0; 256];
    while let Ok((length, client)) = socket.recv_from(&mut packet).await {
        // Answers to the pod's own clients come here, too.
        if let Some((source, destination, content)) = read_sctp(&packet[..length])
            && ports.contains(&destination)
        {
            arrived.note_bytes(content);
            let answer = [content, name.as_bytes()].concat();
            let _ = socket.send_to(&sctp_packet(destination, source, &answer), client).await;
        }
    }
}

/// The kernel answers; this one only sees what comes.
async fn icmp_witness(socket: tokio::net::UdpSocket, arrived: Arrived) {
    let mut packet = [0; 256];
    while let Ok((length, _)) = socket.recv_from(&mut packet).await {
        if let Some((ECHO, token)) = read_icmp(&packet[..length]) {
            arrived.note_bytes(token);
        }
    }
}

async fn other_server(socket: tokio::net::UdpSocket, name: String, arrived: Arrived) {
    let mut packet = [0; 256];
    while let Ok((length, client)) = socket.recv_from(&mut packet).await {
        // A question is a token alone.
        if let Some(content) = content(&packet[..length])
            && content.len() == 8
        {
            arrived.note_bytes(content);
            let _ = socket.send_to(&[content, name.as_bytes()].concat(), client).await;
        }
    }
}
