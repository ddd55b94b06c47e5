//! iptables' old half, which nftables does not show: asked by `getsockopt`, as `iptables-legacy`
//! does (`linux/netfilter_ipv4/ip_tables.h`).

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc::{SOL_IP, c_int, getsockopt, socklen_t};

const IPT_SO_GET_INFO: c_int = 64;
const IPT_SO_GET_ENTRIES: c_int = 65;

/// The policy of the chain FORWARD, and `None` if there is no such table.
pub fn forward_policy() -> Result<Option<u32>> {
    // To ask for a table that is not there would make it.
    let tables = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if !tables.lines().any(|table| table == "filter") {
        return Ok(None);
    }
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a socket")?;
    // struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size.
    let mut info = request(84);
    ask(&socket, IPT_SO_GET_INFO, &mut info)?;
    // A chain's policy is the entry at which it flows under; FORWARD is the third of five.
    let (policy, size) = (number(&info, 56 + 2 * 4)?, number(&info, 80)?);
    // struct ipt_get_entries: name, size, four bytes of padding, then the entries.
    let mut entries = request(40 + size as usize);
    entries[32..36].copy_from_slice(&size.to_ne_bytes());
    ask(&socket, IPT_SO_GET_ENTRIES, &mut entries)?;
    // struct ipt_entry without a match, 112 bytes; then struct xt_standard_target: a header of 32
    // bytes and the verdict, which for an end is written as -verdict - 1.
    let verdict = number(&entries, 40 + policy as usize + 112 + 32)?;
    Ok(Some(verdict.wrapping_add(1).wrapping_neg()))
}

/// A zeroed request that begins with the table's name.
fn request(length: usize) -> Vec<u8> {
    let mut request = vec![0; length];
    request[..6].copy_from_slice(b"filter");
    request
}

fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_ne_bytes).context("iptables' answer is too short")
}

fn ask(socket: &UdpSocket, option: c_int, buffer: &mut [u8]) -> Result<()> {
    let mut length = socklen_t::try_from(buffer.len())?;
    // SAFETY: the kernel writes no more than `length` bytes to `buffer`, which has as many.
    let done = unsafe {
        getsockopt(socket.as_raw_fd(), SOL_IP, option, buffer.as_mut_ptr().cast(), &raw mut length)
    };
    Errno::result(done).map(drop).context("cannot read iptables' table filter")
}
