//! Where an operation is computed: its tensors' device decides, unless a pass asks for composites.

use std::cell::RefCell;

use candle_core::Device;

thread_local! {
    static COMPOSITES_ON: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Whether this thread runs composites wherever its tensors are.
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
