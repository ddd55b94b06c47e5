//! Sending by a ring that is shared with the kernel (packet_mmap): such packets are not linear,
//! nothing but the Ethernet header lies where a program looks first.

use std::num::NonZero;
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::RawSocket;

const SIZE: usize = 4096;
/// Where a frame's bytes begin: behind `struct tpacket2_hdr`, aligned to 16.
const DATA: usize = 32;

/// Sends one frame out of an interface of this thread's namespace.
pub fn send(interface: &str, frame: &[u8]) {
    let socket = RawSocket::on(interface).0;
    let set = |option: i32, value: *const libc::c_void, length: usize| {
        // SAFETY: the value lives until the call returns, and has the given length.
        let set = unsafe {
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, value, length as u32)
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    };
    let version: i32 = libc::tpacket_versions::TPACKET_V2 as i32;
    set(libc::PACKET_VERSION, (&raw const version).cast(), size_of_val(&version));
    // struct tpacket_req: one block of one frame.
    let request = [SIZE as u32, 1, SIZE as u32, 1];
    set(libc::PACKET_TX_RING, (&raw const request).cast(), size_of_val(&request));
    let size = NonZero::new(SIZE).unwrap();
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping, of nobody's memory but the kernel's ring.
    let ring =
        unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, socket.as_fd(), 0) }.unwrap();
    assert!(DATA + frame.len() <= SIZE);
    // SAFETY: header and frame lie within the mapping; the kernel looks at it in send().
    unsafe {
        let start = ring.cast::<u8>().as_ptr();
        std::ptr::copy_nonoverlapping(frame.as_ptr(), start.add(DATA), frame.len());
        let header = start.cast::<libc::tpacket2_hdr>();
        (*header).tp_len = frame.len() as u32;
        (*header).tp_status = libc::TP_STATUS_SEND_REQUEST;
        let sent = libc::send(socket.as_raw_fd(), std::ptr::null(), 0, 0);
        assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
        munmap(ring, SIZE).unwrap();
    }
}
