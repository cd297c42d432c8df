//! Which pages of a private mapping have been written: `PAGEMAP_SCAN` of Linux 6.7 and later.
//!
//! The structures and constants are the kernel's, from its documentation of `/proc/PID/pagemap`.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// Categories of pages.
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Runs of pages that one call can report; an interpreter's short program dirties about two hundred.
const REGIONS: usize = 512;

/// This process's own page map; a child that does not call exec would have another.
static PAGEMAP: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/pagemap").ok());

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

// SAFETY: `PAGEMAP_SCAN` is `_IOWR('f', 16, struct pm_scan_arg)`. It reads and writes the structure, whose layout is the
// kernel's, and writes at most `regions_len` regions to `regions`, which `written` takes from a live array.
unsafe impl Ioctl for &mut Scan {
    /// How many regions were written.
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Scan>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut::<Scan>(self).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        usize::try_from(out).map_err(|_| rustix::io::Errno::RANGE)
    }
}

/// The runs of pages in `range` that are no longer those of the mapped file or of nothing: written, in memory or
/// swapped out.
///
/// # Errors
///
/// When the kernel cannot tell; every page must then be taken for written.
pub(super) fn written(range: Range<usize>) -> io::Result<Vec<Range<usize>>> {
    let pagemap = PAGEMAP.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    let mut found = Vec::new();
    let mut regions = [Region::default(); REGIONS];
    let mut start = range.start as u64;
    let end = range.end as u64;
    while start < end {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            flags: 0,
            start,
            end,
            walk_end: 0,
            regions: regions.as_mut_ptr().expose_provenance() as u64,
            regions_len: REGIONS as u64,
            max_pages: 0,
            // Neither the file's own page nor the page of zeros, and there.
            category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: 0,
        };
        // SAFETY: the file is this process's page map, and `regions` outlives the call (see the implementation above).
        let count = unsafe { ioctl(pagemap, &mut scan) }?;
        let address = |place: u64| usize::try_from(place).map_err(|_| io::ErrorKind::InvalidData);
        for region in &regions[..count.min(REGIONS)] {
            found.push(address(region.start)?..address(region.end)?);
        }
        if scan.walk_end <= start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        start = scan.walk_end;
    }
    Ok(found)
}
