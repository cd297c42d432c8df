//! The place of an operation: the device of its tensors decides which body computes it. This is the only file that asks.

use std::cell::RefCell;

use candle_core::{Device, Tensor};

/// What computes an operation. Every operation matches all three, so that one without a body for a place says so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Our own code over the CPU's memory.
    Cpu,
    /// The same equation in candle's operations, on a device that we have no code for.
    Composite,
    /// A kernel of ours for NVIDIA's devices. An operation that has none is its composite there.
    Cuda,
}

impl Body {
    /// What computes an operation on this tensor.
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Self::on(tensor.device())
    }

    /// What computes an operation on this device.
    pub(crate) fn on(device: &Device) -> Self {
        match device {
            Device::Cpu if composites_are_forced() => Self::Composite,
            Device::Cpu => Self::Cpu,
            Device::Cuda(_) => Self::Cuda,
            Device::Metal(_) => Self::Composite,
        }
    }
}

thread_local! {
    static COMPOSITES_ON: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Whether this thread runs composites in the CPU's memory.
pub(crate) fn composites_are_forced() -> bool {
    COMPOSITES_ON.with_borrow(Option::is_some)
}

/// Runs a pass in a pool of its own, all of whose threads run composites; `place` tells them this device.
pub(crate) fn with_composites_on<R: Send>(device: &Device, pass: impl FnOnce() -> R + Send) -> R {
    let device = device.clone();
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(2).start_handler(move |_| COMPOSITES_ON.set(Some(device.clone())));
    pool.build().expect("a pool of two threads").install(pass)
}

/// Runs a pass in a pool of its own, all of whose threads run composites in the CPU's memory: what an accelerator would
/// compute, to be held against the bodies. It is slow, and nothing that trains or decodes calls it.
pub fn with_composites<R: Send>(pass: impl FnOnce() -> R + Send) -> R {
    with_composites_on(&Device::Cpu, pass)
}

/// Where this thread makes its tensors.
#[cfg(test)]
pub(crate) fn place() -> Device {
    COMPOSITES_ON.with_borrow(|device| device.clone().unwrap_or(Device::Cpu))
}
