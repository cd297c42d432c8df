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
mod pool;
mod slot;
mod stack;

use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(super) use image::{MemoryImage, split};
use pool::{Lent, Pool};
use slot::Slot;
pub(super) use stack::StackPool;

/// The slots of one component, of which each serves one instance at a time.
pub(super) struct MemoryPool {
    image: Option<Arc<MemoryImage>>,
    slots: Pool<Slot>,
}

impl MemoryPool {
    pub(super) fn new(image: Option<MemoryImage>) -> Self {
        Self { image: image.map(Arc::new), slots: Pool::default() }
    }
}

// SAFETY: a slot is reserved address space with inaccessible guards on both sides, page aligned, and belongs to one
// memory until that memory is dropped: the pool lends it to nobody else. Whatever wasmtime reads there is the image or
// zero, as the component's data describes it (see the slot's `reset`).
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
        let slot = self.slots.lend(
            |slot| slot.fits(minimum, reserved, guard),
            || Slot::new(minimum, reserved, guard, self.image.clone()),
        );
        Ok(Box::new(slot.map_err(|error| format!("cannot reserve memory for an instance: {error}"))?))
    }
}

// SAFETY: see `MemoryCreator` above; the base never moves, and all up to `byte_size` is readable and writable.
unsafe impl LinearMemory for Lent<Slot> {
    fn byte_size(&self) -> usize {
        self.accessible()
    }

    fn byte_capacity(&self) -> usize {
        self.reserved()
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        Slot::grow_to(self, size).map_err(wasmtime::Error::from)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base()
    }
}
