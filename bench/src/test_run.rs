//! `BPF_PROG_TEST_RUN`: the kernel runs a TC program on a packet of ours, and times it.
//!
//! libbpf-rs has it for programs that it has loaded itself, and ours are pinned: hence by hand.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use libbpf_rs::ProgramHandle;
use libbpf_rs::libbpf_sys::{
    BPF_PROG_TYPE_SCHED_CLS, bpf_prog_load, bpf_prog_test_run_opts, bpf_test_run_opts,
};

/// A program in the kernel.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// What comes with a packet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meta {
    /// `skb->mark`.
    pub mark: u32,
    /// Where it came in, 0 if it did not.
    pub ingress_ifindex: u32,
    /// Where the program sits.
    pub ifindex: u32,
}

impl Program {
    /// A pinned one.
    pub fn pinned(path: &str) -> Result<Self> {
        let program = ProgramHandle::from_pinned_path(path).with_context(|| path.to_string())?;
        Ok(Self(program.as_fd().try_clone_to_owned()?))
    }

    /// One that does nothing: what it takes is the measurement's own.
    pub fn empty() -> Result<Self> {
        // r0 = 0; exit
        let code = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95u8, 0, 0, 0, 0, 0, 0, 0]];
        let (name, license) = (c"empty".as_ptr(), c"GPL".as_ptr());
        // SAFETY: the kernel reads two instructions, which live until the call returns; no
        // options is allowed.
        let fd = unsafe {
            let code = code.as_ptr().cast();
            bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, license, code, 2, std::ptr::null_mut())
        };
        ensure!(fd >= 0, "cannot load the empty program: error {fd}");
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Runs the program so many times on the same packet: its last answer, and the mean time. To
    /// be called in the network namespace that has the interface.
    pub fn run(&self, frame: &[u8], meta: Meta, repeat: usize) -> Result<(u32, Duration)> {
        // The beginning of struct __sk_buff; the kernel takes the rest for zeroes.
        let mut skb = [0u32; 11];
        (skb[2], skb[9], skb[10]) = (meta.mark, meta.ingress_ifindex, meta.ifindex);
        let mut options = bpf_test_run_opts {
            sz: size_of::<bpf_test_run_opts>() as u64,
            data_in: frame.as_ptr().cast(),
            data_size_in: frame.len().try_into()?,
            ctx_in: skb.as_ptr().cast(),
            ctx_size_in: size_of_val(&skb).try_into()?,
            repeat: repeat.try_into()?,
            ..Default::default()
        };
        // SAFETY: all that the options point to lives until the call returns.
        let code = unsafe { bpf_prog_test_run_opts(self.0.as_raw_fd(), &mut options) };
        ensure!(code == 0, "the kernel does not run the program: error {code}");
        Ok((options.retval, Duration::from_nanos(options.duration.into())))
    }
}
