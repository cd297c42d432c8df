//! Linear memory of guests, so that a fresh instance of an interpreter is cheap.
//!
//! A component that holds a snapshot has tens of megabytes of initial memory, of which a short program writes a few
//! hundred pages, scattered. Its data is taken out of the component and becomes an `image`; each `slot` maps it
//! copy-on-write. When an instance ends, exactly the pages that it wrote (`dirty_pages`) are copied back from the
//! image, so the next instance finds the memory as the component describes it and no page is faulted in twice.
//!
//! wasmtime's own pool does the same for at most 32 runs of neighbouring pages and gives the rest back to the kernel,
//! which costs an interpreter more than the program it runs. Stacks are kept in the same way.

mod dirty_pages;
mod image;
mod slot;
mod stack;

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(super) use image::{MemoryImage, split};
use slot::Slot;
pub(super) use stack::StackPool;

/// The slots of one component, of which each serves one instance at a time.
pub(super) struct MemoryPool {
    image: Option<Arc<MemoryImage>>,
    idle: Arc<Mutex<Vec<Slot>>>,
}

impl MemoryPool {
    pub(super) fn new(image: Option<MemoryImage>) -> Self {
        Self { image: image.map(Arc::new), idle: Arc::default() }
    }
}

// SAFETY: a slot is reserved address space with inaccessible guards on both sides, page aligned, and belongs to one
// memory until that memory is dropped: it is taken out of `idle` before and put back after. Whatever wasmtime reads
// there is the image or zero, as the component's data describes it (see `Slot::reset`).
unsafe impl MemoryCreator for MemoryPool {
    fn new_memory(
        &self,
        kind: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if kind.is_shared() {
            return Err("a plugin's memory cannot be shared between threads".to_owned());
        }
        let reserved = reserved.unwrap_or(minimum).max(minimum);
        let found = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let fitting = idle.iter().rposition(|slot| slot.fits(minimum, reserved, guard));
            fitting.map(|place| idle.swap_remove(place))
        };
        let slot = match found {
            Some(slot) => slot,
            None => Slot::new(minimum, reserved, guard, self.image.clone())
                .map_err(|error| format!("cannot reserve memory for an instance: {error}"))?,
        };
        Ok(Box::new(PooledMemory { slot: Some(slot), idle: self.idle.clone() }))
    }
}

/// The memory of one instance.
struct PooledMemory {
    /// Taken only when dropped.
    slot: Option<Slot>,
    idle: Arc<Mutex<Vec<Slot>>>,
}

impl PooledMemory {
    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("the slot is taken only when the memory is dropped")
    }
}

// SAFETY: see `MemoryCreator` above; the base never moves, and all up to `byte_size` is readable and writable.
unsafe impl LinearMemory for PooledMemory {
    fn byte_size(&self) -> usize {
        self.slot().accessible()
    }

    fn byte_capacity(&self) -> usize {
        self.slot().reserved()
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        let slot = self.slot.as_mut().expect("the slot is taken only when the memory is dropped");
        slot.grow_to(size).map_err(wasmtime::Error::from)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot().base()
    }
}

impl Drop for PooledMemory {
    fn drop(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            // A slot that cannot be put back is unmapped.
            match slot.reset() {
                Ok(()) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(slot),
                Err(error) => tracing::warn!("an instance's memory is not used again: {error}"),
            }
        }
    }
}
