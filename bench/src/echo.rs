//! Two ends of a connection between two pods.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use lab::{Node, Pod, Sandbox};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

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

/// Keeps this thread on one CPU, or on the last one if there are not so many: where the scheduler
/// puts two threads makes a larger difference than what is measured.
fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu.min(std::thread::available_parallelism()?.get() - 1))?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

/// Runs on a thread of its own on a CPU.
fn on<T: Send + 'static>(
    cpu: usize,
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    std::thread::spawn(move || pin(cpu).and_then(|()| f()))
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// Sends for so long, from one CPU to another; returns bytes a second, as the receiver got them.
pub fn stream((mut near, mut far): (TcpStream, TcpStream), time: Duration) -> Result<f64> {
    let receiver = on(1, move || {
        let (mut piece, mut bytes) = (vec![0; PIECE], 0);
        loop {
            match far.read(&mut piece)? {
                0 => return Ok((bytes, Instant::now())),
                count => bytes += count,
            }
        }
    });
    let sender = on(0, move || {
        let (piece, start) = (vec![0; PIECE], Instant::now());
        while start.elapsed() < time {
            near.write_all(&piece)?;
        }
        near.shutdown(Shutdown::Write)?;
        Ok(start)
    });
    let start = join(sender)?;
    let (bytes, end) = join(receiver)?;
    Ok(bytes as f64 / end.duration_since(start).as_secs_f64())
}

/// One byte there and back on one CPU, so many times.
pub fn round_trips(
    (mut near, mut far): (TcpStream, TcpStream),
    count: usize,
) -> Result<Vec<Duration>> {
    let echo = on(0, move || {
        let mut byte = [0];
        while far.read(&mut byte)? == 1 {
            far.write_all(&byte)?;
        }
        Ok(())
    });
    let client = on(0, move || {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            near.write_all(&[1])?;
            near.read_exact(&mut [0])?;
            times.push(start.elapsed());
        }
        near.shutdown(Shutdown::Write)?;
        Ok(times)
    });
    let times = join(client)?;
    join(echo)?;
    Ok(times)
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
