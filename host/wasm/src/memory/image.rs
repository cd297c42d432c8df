//! The initial memory of a component, apart from its code.

use std::borrow::Cow;
use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::ptr;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;
use wasm_encoder::{ConstExpr, DataSection, Module, RawSection};
use wasmparser::{BinaryReaderError, DataKind, DataSectionReader, Operator, Parser, Payload};

use crate::component_parts::with_parts;
use crate::sealed_file::seal;

/// Size of a page of WebAssembly.
const WASM_PAGE: u64 = 64 << 10;

/// Bytes that a memory begins with, in a file of their own that nothing can change.
pub(crate) struct MemoryImage {
    file: File,
    view: *mut c_void,
    range: Range<usize>,
}

// SAFETY: the view is read-only, and the file is sealed against writing, so all threads see the same bytes for ever.
unsafe impl Send for MemoryImage {}
// SAFETY: as above.
unsafe impl Sync for MemoryImage {}

impl MemoryImage {
    /// `segments` are offsets in the memory and the bytes that stand there.
    pub(super) fn new(segments: &[(usize, &[u8])]) -> io::Result<Self> {
        let page = page_size();
        let ends = segments.iter().map(|(offset, bytes)| offset + bytes.len());
        let end = ends.max().unwrap_or(0).next_multiple_of(page);
        let first = segments.iter().map(|(offset, _)| *offset).min().unwrap_or(0);
        let start = first - first % page;
        if start == end {
            return Err(io::Error::other("an image without bytes"));
        }
        let file = memfd_create("hilora-memory-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        file.set_len((end - start) as u64)?;
        for (offset, bytes) in segments {
            file.seek(SeekFrom::Start((offset - start) as u64))?;
            file.write_all(bytes)?;
        }
        seal(&file)?;
        // SAFETY: a new mapping at a place of the kernel's choice; the file cannot shrink below it.
        let view = unsafe { mmap(ptr::null_mut(), end - start, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
        Ok(Self { file, view, range: start..end })
    }

    /// Where in the memory it stands; whole pages.
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the view is as long as the range and is unmapped only when this is dropped; the file is sealed.
        unsafe { std::slice::from_raw_parts(self.view.cast(), self.range.len()) }
    }
}

impl Drop for MemoryImage {
    fn drop(&mut self) {
        // SAFETY: the view is this one's own, and `bytes` cannot outlive it.
        if let Err(error) = unsafe { munmap(self.view, self.range.len()) } {
            tracing::warn!("cannot unmap a memory image: {error}");
        }
    }
}

/// A component in two parts, or whole where it cannot be divided.
pub(crate) struct SplitComponent<'a> {
    /// The component without the data that is in the image.
    pub(crate) code: Cow<'a, [u8]>,
    /// What its one memory begins with.
    pub(crate) image: Option<MemoryImage>,
}

/// Takes the data out of a component that has one memory and knows its contents beforehand.
///
/// The memory then holds the data before the instance begins, which no guest can tell from data that is copied while it
/// begins: nothing of the component runs in between. A segment that is in the image stays in the module without its bytes,
/// so that code finds the others under their numbers; once it was copied it has none for code in any case.
pub(crate) fn split(component: &[u8]) -> io::Result<SplitComponent<'_>> {
    let whole = || SplitComponent { code: Cow::Borrowed(component), image: None };
    let Some((module, segments)) = only_memory(component).ok().flatten() else { return Ok(whole()) };
    let image = MemoryImage::new(&segments)?;
    let code = without_data(component, &module).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(SplitComponent { code: Cow::Owned(code), image: Some(image) })
}

/// The place of the one module that has a memory, and its data, where all of it is known.
#[expect(clippy::type_complexity, reason = "a place and a list of places with bytes, used once")]
fn only_memory(component: &[u8]) -> Result<Option<(Range<usize>, Vec<(usize, &[u8])>)>, BinaryReaderError> {
    let mut modules: Vec<Range<usize>> = Vec::new();
    let mut found = None;
    let (mut memories, mut memory_bytes) = (0_u32, 0_u64);
    let mut segments = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { unchecked_range, .. } => {
                modules.push(unchecked_range);
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    memories += 1;
                    if memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
                        return Ok(None);
                    }
                    memory_bytes = memory.initial.saturating_mul(WASM_PAGE);
                    found = modules.last().cloned();
                }
            }
            Payload::DataSection(section) => {
                if found.is_none() || found.as_ref() != modules.last() {
                    return Ok(None);
                }
                for segment in section {
                    let segment = segment?;
                    // What code copies by itself stays in the module.
                    let DataKind::Active { memory_index, offset_expr } = segment.kind else { continue };
                    if memory_index != 0 {
                        return Ok(None);
                    }
                    let mut operators = offset_expr.get_operators_reader();
                    let Operator::I32Const { value } = operators.read()? else { return Ok(None) };
                    if !matches!(operators.read()?, Operator::End) {
                        return Ok(None);
                    }
                    let Ok(offset) = usize::try_from(value.cast_unsigned()) else { return Ok(None) };
                    segments.push((offset, segment.data));
                }
            }
            _ => {}
        }
    }
    segments.retain(|(_, bytes)| !bytes.is_empty());
    let fits = segments.iter().all(|(offset, bytes)| (offset + bytes.len()) as u64 <= memory_bytes);
    Ok(found.filter(|_| memories == 1 && fits && !segments.is_empty()).map(|module| (module, segments)))
}

/// The component, its module at `place` without its data.
fn without_data(component: &[u8], place: &Range<usize>) -> Result<Vec<u8>, BinaryReaderError> {
    with_parts(component, |_, part| {
        let data = &component[part.clone()];
        if part == *place { module_without_data(data).map(Cow::Owned) } else { Ok(Cow::Borrowed(data)) }
    })
}

fn module_without_data(module: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut written = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::DataSection(section) = payload {
            written.section(&without_active_bytes(section)?);
        } else if let Some((id, range)) = payload.as_section() {
            written.section(&RawSection { id, data: &module[range.start..range.end] });
        }
    }
    Ok(written.finish())
}

/// The segments, of which those that are copied when an instance begins have no bytes.
fn without_active_bytes(section: DataSectionReader<'_>) -> Result<DataSection, BinaryReaderError> {
    let mut written = DataSection::new();
    for segment in section {
        let segment = segment?;
        match segment.kind {
            DataKind::Passive => written.passive(segment.data.iter().copied()),
            // Its place is inside the memory (see `only_memory`), and so is the beginning.
            DataKind::Active { .. } => written.active(0, &ConstExpr::i32_const(0), []),
        };
    }
    Ok(written)
}
