//! Stacks that guests run on: large, because freeing a deep structure recurses in C, and used again, because mapping
//! one anew costs more than a short program.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;
use wasmtime::{StackCreator, StackMemory};

use super::pool::{Lent, Pool, Reusable};

/// What an idle stack keeps resident below its top; a deeper run's memory is given back.
const KEPT_BYTES: usize = 256 << 10;

/// Idle stacks of one engine. No guest can read a stack, so nothing is cleared between two runs.
#[derive(Default)]
pub(crate) struct StackPool {
    stacks: Pool<Mapping>,
}

struct Mapping {
    start: *mut c_void,
    /// With the guard page at the start.
    bytes: usize,
}

// SAFETY: the pointer is to memory that this alone owns, and nothing in it belongs to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared mapping only tells its address and size.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(stack_bytes: usize) -> io::Result<Self> {
        let guard = page_size();
        let bytes = stack_bytes.next_multiple_of(guard) + guard;
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        }?;
        let mapping = Self { start, bytes };
        // SAFETY: all but the first page of the mapping made above, which nobody has seen yet.
        unsafe { mprotect(mapping.bottom().cast(), bytes - guard, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        Ok(mapping)
    }

    fn bottom(&self) -> *mut u8 {
        self.start.cast::<u8>().wrapping_add(page_size())
    }

    fn top(&self) -> *mut u8 {
        self.start.cast::<u8>().wrapping_add(self.bytes)
    }
}

impl Reusable for Mapping {
    const NAME: &'static str = "a stack";

    /// Gives back what a deep run used.
    fn reset(&mut self) -> io::Result<()> {
        let usable = self.bytes - page_size();
        let kept = usable.min(KEPT_BYTES.next_multiple_of(page_size()));
        // SAFETY: the range is this stack's own, and what ran on it is gone.
        Ok(unsafe { madvise(self.bottom().cast(), usable - kept, Advice::LinuxDontNeed) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, made in `new`, and what ran on it is gone.
        if let Err(error) = unsafe { munmap(self.start, self.bytes) } {
            tracing::warn!("cannot unmap a stack: {error}");
        }
    }
}

// SAFETY: a stack has a page below it that cannot be accessed, is page aligned and belongs to one guest until it is
// dropped: the pool lends it to nobody else.
unsafe impl StackCreator for StackPool {
    fn new_stack(&self, size: usize, zeroed: bool) -> Result<Box<dyn StackMemory>, wasmtime::Error> {
        if zeroed {
            return Err(wasmtime::Error::msg("stacks are not cleared"));
        }
        let stack = self.stacks.lend(|mapping| mapping.bytes - page_size() >= size, || Mapping::new(size))?;
        Ok(Box::new(stack))
    }
}

// SAFETY: see `StackCreator` above.
unsafe impl StackMemory for Lent<Mapping> {
    fn top(&self) -> *mut u8 {
        Mapping::top(self)
    }

    fn range(&self) -> Range<usize> {
        self.bottom().addr()..Mapping::top(self).addr()
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.start.cast()..self.bottom()
    }
}
