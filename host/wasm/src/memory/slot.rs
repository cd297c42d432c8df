//! Address space for one linear memory, and the way back to how it began.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap};

use super::dirty_pages;
use super::image::MemoryImage;
use super::pool::Reusable;

/// Written memory that an idle slot keeps. Copying a page back costs a tenth of faulting it in again, but what one large
/// program used is not held for ever.
const KEPT_BYTES_MAX: usize = 8 << 20;

pub(super) struct Slot {
    /// The whole mapping, guards included.
    mapping: *mut c_void,
    mapping_bytes: usize,
    base: *mut u8,
    minimum: usize,
    reserved: usize,
    guard: usize,
    /// Readable and writable from the base on.
    accessible: usize,
    image: Option<Arc<MemoryImage>>,
}

// SAFETY: the pointers are to memory that this alone owns, and nothing in it belongs to a thread.
unsafe impl Send for Slot {}
// SAFETY: a shared slot only tells its address and sizes.
unsafe impl Sync for Slot {}

impl Slot {
    /// Reserves `reserved` bytes between two guards and makes the first `minimum` the image, and zero around it.
    pub(super) fn new(
        minimum: usize,
        reserved: usize,
        guard: usize,
        image: Option<Arc<MemoryImage>>,
    ) -> io::Result<Self> {
        if image.as_ref().is_some_and(|image| image.range().end > minimum) {
            return Err(io::Error::other("the image is larger than the memory"));
        }
        let mapping_bytes = reserved
            .checked_add(guard)
            .and_then(|bytes| bytes.checked_add(guard))
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let mapping = unsafe {
            mmap_anonymous(ptr::null_mut(), mapping_bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        }?;
        let base = mapping.cast::<u8>().wrapping_add(guard);
        // From here on `drop` unmaps it, whatever fails.
        let mut slot = Self { mapping, mapping_bytes, base, minimum, reserved, guard, accessible: 0, image };
        slot.grow_to(minimum)?;
        if let Some(image) = &slot.image {
            let range = image.range();
            // SAFETY: the range is inside `minimum` bytes of the mapping made above, which nobody has seen yet, so the
            // fixed mapping replaces only that. It is private: writing to it never reaches the image.
            unsafe {
                mmap(
                    base.wrapping_add(range.start).cast(),
                    range.len(),
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                    image.file(),
                    0,
                )
            }?;
        }
        Ok(slot)
    }

    pub(super) fn fits(&self, minimum: usize, reserved: usize, guard: usize) -> bool {
        (self.minimum, self.reserved, self.guard) == (minimum, reserved, guard)
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }

    pub(super) fn accessible(&self) -> usize {
        self.accessible
    }

    pub(super) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Makes the memory `size` bytes long; what is new is zero.
    pub(super) fn grow_to(&mut self, size: usize) -> io::Result<()> {
        if size <= self.accessible {
            return Ok(());
        }
        if size > self.reserved {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.protect(self.accessible..size, MprotectFlags::READ | MprotectFlags::WRITE)?;
        self.accessible = size;
        Ok(())
    }

    fn protect(&self, range: Range<usize>, flags: MprotectFlags) -> io::Result<()> {
        // SAFETY: the range is inside the reserved part of this slot's own mapping, and no reference into it is alive:
        // wasmtime holds the base as a raw pointer.
        Ok(unsafe { mprotect(self.base.wrapping_add(range.start).cast(), range.len(), flags) }?)
    }

    /// Puts back what was written, which the kernel has told or could not tell.
    fn restore_all(&mut self, start: usize, written: io::Result<Vec<Range<usize>>>) -> io::Result<()> {
        match written {
            Ok(written) if written.iter().map(Range::len).sum::<usize>() <= KEPT_BYTES_MAX => {
                for range in written {
                    self.restore(range.start - start..range.end - start);
                }
            }
            // Much was written, or the kernel cannot tell: it forgets all of it.
            Ok(_) | Err(_) => {
                // SAFETY: the range is this slot's own and nobody uses it. Forgetting a private page gives back what is
                // below it: the image's page, or zeros.
                unsafe { madvise(self.base.cast(), self.accessible, Advice::LinuxDontNeed) }?;
            }
        }
        if self.accessible > self.minimum {
            self.protect(self.minimum..self.accessible, MprotectFlags::empty())?;
            self.accessible = self.minimum;
        }
        Ok(())
    }

    /// Copies the image over a range, and zeros where there is no image.
    fn restore(&mut self, range: Range<usize>) {
        // SAFETY: the range is inside what is accessible (the scan was of nothing else), and nobody else uses it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.base.wrapping_add(range.start), range.len()) };
        let Some(image) = &self.image else {
            bytes.fill(0);
            return;
        };
        let covered = image.range();
        let first = covered.start.clamp(range.start, range.end);
        let last = covered.end.clamp(first, range.end);
        bytes[..first - range.start].fill(0);
        if first < last {
            bytes[first - range.start..last - range.start]
                .copy_from_slice(&image.bytes()[first - covered.start..last - covered.start]);
        }
        bytes[last - range.start..].fill(0);
    }
}

impl Reusable for Slot {
    const NAME: &'static str = "an instance's memory";

    /// Puts the memory back to how it began.
    fn reset(&mut self) -> io::Result<()> {
        let start = self.base.expose_provenance();
        self.restore_all(start, dirty_pages::written(start..start + self.accessible))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the mapping is this slot's own, made in `new`, and what used it is gone.
        if let Err(error) = unsafe { munmap(self.mapping, self.mapping_bytes) } {
            tracing::warn!("cannot unmap an instance's memory: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn contents(slot: &Slot) -> &[u8] {
        // SAFETY: all of it is accessible, and the test changes nothing while it looks.
        unsafe { std::slice::from_raw_parts(slot.base(), slot.accessible()) }
    }

    fn write(slot: &Slot, place: usize, byte: u8) {
        assert!(place < slot.accessible());
        // SAFETY: the place is accessible, and nobody else looks.
        unsafe { slot.base().add(place).write(byte) };
    }

    /// An image in the middle of four pages, with a pattern that no reset could hit by chance.
    fn slot() -> io::Result<(Slot, Vec<u8>)> {
        let pattern: Vec<u8> = (0..2 * PAGE).map(|place| (place % 251) as u8).collect();
        let image = MemoryImage::new(&[(PAGE, &pattern[..])])?;
        let mut expected = vec![0; 4 * PAGE];
        expected[PAGE..3 * PAGE].copy_from_slice(&pattern);
        Ok((Slot::new(4 * PAGE, 1 << 32, 32 << 20, Some(Arc::new(image)))?, expected))
    }

    #[test]
    fn begins_as_the_image_and_comes_back_to_it() -> io::Result<()> {
        let (mut slot, expected) = slot()?;
        assert_eq!(contents(&slot), expected);
        // Every second page: more runs than one scan reports; then across both edges of the image; then everything.
        for step in [8192, 4096, 1] {
            for place in (0..4 * PAGE).step_by(step) {
                write(&slot, place, 0xAA);
            }
            slot.reset()?;
            assert!(contents(&slot) == expected, "after writing every {step} bytes");
        }
        Ok(())
    }

    #[test]
    fn a_kernel_that_cannot_tell_costs_time_only() -> io::Result<()> {
        let (mut slot, expected) = slot()?;
        slot.grow_to(6 * PAGE)?;
        for place in (0..6 * PAGE).step_by(4096) {
            write(&slot, place, 0xAA);
        }
        slot.restore_all(slot.base.expose_provenance(), Err(io::ErrorKind::Unsupported.into()))?;
        assert!(contents(&slot) == expected);
        Ok(())
    }

    #[test]
    fn what_grew_is_zero_again_and_out_of_reach() -> io::Result<()> {
        let (mut slot, expected) = slot()?;
        // Once so little that it is kept, once so much that it is given back.
        for grown in [6 * PAGE, 4 * PAGE + 2 * KEPT_BYTES_MAX] {
            slot.grow_to(grown)?;
            assert!(contents(&slot)[4 * PAGE..].iter().all(|byte| *byte == 0));
            for place in (0..grown).step_by(4096) {
                write(&slot, place, 1);
            }
            slot.reset()?;
            assert_eq!(slot.accessible(), 4 * PAGE);
            assert!(contents(&slot) == expected);
        }
        assert!(slot.grow_to((1 << 32) + PAGE).is_err());
        Ok(())
    }

    #[test]
    fn an_image_larger_than_the_memory_is_refused() -> io::Result<()> {
        let image = Arc::new(MemoryImage::new(&[(PAGE, &[1][..])])?);
        assert!(Slot::new(PAGE, 1 << 32, 32 << 20, Some(image)).is_err());
        Ok(())
    }
}
