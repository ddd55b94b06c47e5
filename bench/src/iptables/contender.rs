//! One filter on a node of its own, and what it costs.

use std::cell::Cell;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::chapter::{self, Profile};
use lab::{Node, Pod, PodSpec};

use super::identities::{self, Identities};
use super::pairs::{PORT, Pairs};
use super::rules::Rules;
use crate::echo;
use crate::times::Times;

/// New connections for each round.
pub const CONNECTIONS: u16 = 100;
/// Packets of each connection once it is established.
pub const PACKETS: u16 = 10;
/// Chapter 1's configuration without masquerade.
const PLAIN: &str = r#"{"cniVersion":"1.0.0","name":"ebpfcni","type":"ebpfcni",
    "podcidr":"10.13.0.0/24","ipMasq":false}"#;

/// Who decides.
pub enum Filter {
    /// With conntrack, which all others have for their masquerade; or not even that.
    Nobody { conntrack: bool },
    /// Somebody's rules.
    Rules(Rules),
    /// Chapter 3.
    Identities(Identities),
}

/// One filter on a node of its own, with the pods that it tells apart.
pub struct Contender {
    filter: Filter,
    node: Node,
    client: Pod,
    server: Pod,
    stranger: Pod,
    socket: UdpSocket,
    /// The last client's port: the next one has another, which no conntrack knows.
    port: Cell<u16>,
}

/// What one filter of one size costs.
pub struct Cost {
    /// Who decides.
    pub name: String,
    /// N and M.
    pub size: (u32, u32),
    /// What was installed.
    pub entries: String,
    /// How long that took.
    pub install: Duration,
    /// The same for one more source, reaching all destinations.
    pub one_more: Option<Duration>,
    /// Microseconds of a connection's first packet: the median of each round.
    pub new: Vec<f64>,
    /// And of a packet once it is established.
    pub established: Vec<f64>,
}

impl Contender {
    /// Makes the node and its pods.
    pub fn new(filter: Filter) -> Result<Self> {
        let node = Node::new()?;
        let own_labels = matches!(filter, Filter::Identities(Identities { own_labels: true }));
        chapter::install(
            &node,
            if let Filter::Identities(_) = filter { "ch3" } else { "ch1" },
            Profile::Release,
        )?;
        if let Filter::Nobody { conntrack: false } = filter {
            node.write_config("10-ebpfcni.conf", PLAIN)?;
        }
        let run = |name: &str, app: &str| {
            let spec = PodSpec::new(name).label("app", app);
            node.run_pod(if own_labels { spec.label("number", "local") } else { spec })
        };
        let client = run("client", "source")?;
        let server = run("server", "destination")?;
        let stranger = run("stranger", "stranger")?;
        // Bridged packets meet iptables; the counters will tell.
        node.sh("sysctl -q net.bridge.bridge-nf-call-iptables=1")?;
        let (sandbox, address) = echo::place(&server)?;
        let socket = sandbox.enter(&node, || UdpSocket::bind((address, PORT)))??;
        socket.set_nonblocking(true)?;
        Ok(Self { filter, node, client, server, stranger, socket, port: Cell::new(10_000) })
    }

    fn name(&self) -> String {
        match &self.filter {
            Filter::Nobody { conntrack: true } => "nobody".into(),
            Filter::Nobody { conntrack: false } => "nobody, no conntrack".into(),
            Filter::Rules(rules) => rules.name(),
            Filter::Identities(it) => it.name().into(),
        }
    }

    /// Installs so many pairs, the last of them client and server, and asserts that it works.
    pub fn install(&self, size: (u32, u32)) -> Result<Cost> {
        let ends = [echo::place(&self.client)?.1, echo::place(&self.server)?.1];
        let pairs = Pairs::new(size, ends);
        let install = match &self.filter {
            Filter::Nobody { .. } => Duration::ZERO,
            Filter::Rules(rules) => rules.install(&self.node, &pairs)?,
            Filter::Identities(it) => it.install(&self.node, &pairs)?,
        };
        let entries = match &self.filter {
            Filter::Nobody { .. } => "0".into(),
            Filter::Rules(rules) => rules.entries(&pairs),
            Filter::Identities(_) => self.node.enter(|| identities::entries(&pairs))??,
        };
        let closed = !self.reaches(&self.stranger)?;
        ensure!(self.reaches(&self.client)?, "{}: the client is kept out", self.name());
        let expected = !matches!(self.filter, Filter::Nobody { .. });
        ensure!(closed == expected, "{}: the stranger is kept out: {closed}", self.name());
        let (name, new, established) = (self.name(), Vec::new(), Vec::new());
        Ok(Cost { name, size, entries, install, one_more: None, new, established })
    }

    /// Does a datagram get from a pod to the server?
    fn reaches(&self, from: &Pod) -> Result<bool> {
        echo::udp(&self.node, from)?.send_to(b"?", self.socket.local_addr()?)?;
        std::thread::sleep(Duration::from_millis(50));
        Ok(self.socket.recv(&mut [0; 8]).is_ok())
    }

    /// One round: new connections, and packets of each. All by one thread: on its way from one
    /// socket to the other a packet meets everything, but no scheduler.
    pub fn round(&self, cost: &mut Cost) -> Result<()> {
        let (sandbox, address) = echo::place(&self.client)?;
        let first = self.port.replace(self.port.get() + CONNECTIONS);
        let (socket, ports) = (&self.socket, first..first + CONNECTIONS);
        let (new, established) = sandbox.enter(&self.node, || {
            let (mut new, mut established) = (Times::new()?, Times::new()?);
            for port in ports {
                let client = UdpSocket::bind((address, port))?;
                client.connect(socket.local_addr()?)?;
                client.set_nonblocking(true)?;
                let from = send(&client, socket, &mut new)?;
                socket.send_to(b"!", from)?;
                echo::receive(&client)?;
                for _ in 0..PACKETS {
                    send(&client, socket, &mut established)?;
                }
            }
            Ok::<_, anyhow::Error>((new, established))
        })??;
        cost.new.push(new.us(0.5));
        cost.established.push(established.us(0.5));
        Ok(())
    }

    /// One source more, and that the counters of what was measured have moved.
    pub fn finish(&self, cost: &mut Cost, rounds: usize) -> Result<()> {
        let ends = [echo::place(&self.client)?.1, echo::place(&self.server)?.1];
        let pairs = Pairs::new(cost.size, ends);
        let connections = u64::from(CONNECTIONS) * rounds as u64;
        match &self.filter {
            Filter::Nobody { .. } => {}
            Filter::Rules(rules) => {
                let [established, allowed, dropped] = rules.counters(&self.node, &pairs)?;
                let moved = established >= connections * u64::from(PACKETS)
                    && allowed > connections
                    && dropped > 0;
                let counters = format!("{established}, {allowed}, {dropped}");
                ensure!(moved, "{}: the counters say {counters}", self.name());
                cost.one_more = Some(rules.one_more(&self.node, &pairs)?);
            }
            Filter::Identities(it) => {
                let counted = self.node.enter(|| identities::let_in(&ends))??;
                ensure!(counted > connections, "{}: the entry counts {counted}", self.name());
                cost.one_more = Some(it.one_more(&self.node, &pairs)?);
            }
        }
        Ok(())
    }
}

/// From one socket to the other; the sender's address.
fn send(from: &UdpSocket, to: &UdpSocket, times: &mut Times) -> Result<std::net::SocketAddr> {
    let start = Instant::now();
    from.send(b"?")?;
    let sender = echo::receive(to)?;
    times.record(start.elapsed())?;
    Ok(sender)
}
