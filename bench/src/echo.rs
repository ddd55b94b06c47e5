//! Two ends of a connection between two pods.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use lab::{Node, Pod, Sandbox};

use crate::times::Times;

const PATIENCE: Duration = Duration::from_secs(10);
/// What one call writes or reads.
const PIECE: usize = 128 * 1024;

/// A pod's network and its address in it.
pub fn place(pod: &Pod) -> Result<(&Sandbox, Ipv4Addr)> {
    let (sandbox, address) = (pod.sandbox.as_ref(), pod.ip);
    sandbox.zip(address).with_context(|| format!("pod {} does not run", pod.spec.name))
}

/// A connected pair of TCP sockets. A socket stays in the network in which it was opened.
pub fn tcp(node: &Node, from: &Pod, to: &Pod) -> Result<(TcpStream, TcpStream)> {
    let ((client, _), (server, address)) = (place(from)?, place(to)?);
    let listener = server.enter(node, || TcpListener::bind((address, 0)))??;
    let to = listener.local_addr()?;
    let near = client.enter(node, || TcpStream::connect_timeout(&to, Duration::from_secs(1)))??;
    let (far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

/// A UDP socket of a pod, which answers at once or not at all.
pub fn udp(node: &Node, pod: &Pod) -> Result<UdpSocket> {
    let (sandbox, address) = place(pod)?;
    let socket = sandbox.enter(node, || UdpSocket::bind((address, 0)))??;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sends for so long; returns bytes a second, as the receiver got them.
pub fn stream((mut near, mut far): (TcpStream, TcpStream), time: Duration) -> Result<f64> {
    let start = Instant::now();
    let receiver = std::thread::spawn(move || {
        let (mut piece, mut bytes) = (vec![0; PIECE], 0);
        loop {
            match far.read(&mut piece)? {
                0 => return Ok::<_, std::io::Error>((bytes, Instant::now())),
                count => bytes += count,
            }
        }
    });
    let piece = vec![0; PIECE];
    while start.elapsed() < time {
        near.write_all(&piece)?;
    }
    near.shutdown(Shutdown::Write)?;
    let (bytes, end) = receiver.join().map_err(|_| anyhow!("the receiver panicked"))??;
    Ok(bytes as f64 / end.duration_since(start).as_secs_f64())
}

/// One byte there and back, so many times.
pub fn round_trips(
    (mut near, mut far): (TcpStream, TcpStream),
    count: usize,
    times: &mut Times,
) -> Result<()> {
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read(&mut byte)? == 1 {
            far.write_all(&byte)?;
        }
        Ok::<_, std::io::Error>(())
    });
    for _ in 0..count {
        let start = Instant::now();
        near.write_all(&[1])?;
        near.read_exact(&mut [0])?;
        times.record(start.elapsed())?;
    }
    near.shutdown(Shutdown::Write)?;
    Ok(echo.join().map_err(|_| anyhow!("the echo panicked"))??)
}

/// Waits for one datagram without sleeping; an error if none comes.
pub fn receive(socket: &UdpSocket) -> Result<std::net::SocketAddr> {
    let start = Instant::now();
    loop {
        match socket.recv_from(&mut [0; 16]) {
            Ok((_, from)) => return Ok(from),
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                return Err(error.into());
            }
            Err(_) if start.elapsed() > PATIENCE => bail!("no datagram came"),
            Err(_) => {}
        }
    }
}
