//! A chunk of B: 64 columns by 64 of depth as f32, laid out from the rows of a source in the order in which a product adds
//! them. What is stored in 4 bits is looked up and transposed in registers.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::panels::Unit;
use super::source::{CODE_STRIP, Codes, RowSource};
use super::unit_square::{LANES, quarters_transposed, transposed};
use crate::element::{Stored, UnitLayout};

/// Columns of a chunk.
pub(super) const COLUMNS: usize = 64;
/// Its depth: what shares a scale in 4 bits.
pub(super) const DEPTH: usize = CODE_STRIP;
/// How far ahead of a row the memory is asked for, in bytes.
const AHEAD: usize = 512;
/// What is asked for at once.
const CACHE_LINE: usize = 64;

/// Depth by columns.
pub(super) struct Chunk<'a> {
    values: &'a mut [Unit],
}

/// Columns of B and a block of its depth as they lie in memory.
pub(super) struct ChunkSource<'a> {
    source: &'a dyn RowSource,
    /// Of what the source reads.
    order: Order,
    memory: Memory<'a>,
    columns: Range<usize>,
    depth: Range<usize>,
}

/// What eight elements that follow one another are, and in which order a product adds them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// f32.
    Single,
    /// bf16, of two the second before the first.
    SecondFirst,
    /// bf16 in a product of f32.
    FirstSecond,
}

impl Order {
    /// Bytes of an element.
    fn bytes(self) -> usize {
        if self == Self::Single { size_of::<f32>() } else { size_of::<bf16>() }
    }

    /// Elements of a strip of 32 bytes.
    fn strip(self) -> usize {
        32 / self.bytes()
    }
}

/// What can be read without asking the source.
enum Memory<'a> {
    /// Elements.
    Elements(Rows<'a>, Order),
    /// Codes, and tables of them for a product of f32.
    Codes(Rows<'a>, CodeTables),
    /// Nothing.
    None,
}

/// The sixteen values of a code, ready to be looked up.
enum CodeTables {
    /// Byte by byte, both halves of a register alike.
    Bytes([__m256i; 4]),
    /// Quarters, both halves of a register alike; what is found is rounded to bf16.
    Quarters([__m256; 4]),
}

impl CodeTables {
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn new(values: &[f32; 16], pairs: bool) -> Self {
        if pairs {
            let mut quarters = [_mm256_setzero_ps(); 4];
            for (quarter, values) in quarters.iter_mut().zip(values.as_chunks::<4>().0) {
                // SAFETY: a quarter of the values is four floats.
                let four = unsafe { _mm_loadu_ps(values.as_ptr()) };
                *quarter = _mm256_set_m128(four, four);
            }
            return Self::Quarters(quarters);
        }
        let mut tables = [_mm256_setzero_si256(); 4];
        for (byte, table) in tables.iter_mut().enumerate() {
            let bytes: [u8; 16] = values.map(|value| value.to_le_bytes()[byte]);
            // SAFETY: a table is sixteen bytes.
            *table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) });
        }
        Self::Bytes(tables)
    }
}

/// Rows a number of bytes apart, from the block's first column and depth on.
struct Rows<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
    /// Up to the end of a row.
    left_bytes: usize,
}

impl<'a> Rows<'a> {
    /// Row by row, of rows of elements that are each so many bits.
    fn new(bytes: &'a [u8], stride: usize, bits: usize, columns: &Range<usize>, depth: &Range<usize>) -> Self {
        let (row_bytes, before) = (stride * bits / 8, depth.start * bits / 8);
        Self { bytes: &bytes[columns.start * row_bytes + before..], row_bytes, left_bytes: row_bytes - before }
    }

    /// Eight rows from one on and bytes from one on, if so many can be read of each.
    fn of(&self, row: usize, at: usize, count: usize) -> *const u8 {
        let first = row * self.row_bytes + at;
        assert!(first + (LANES - 1) * self.row_bytes + count <= self.bytes.len(), "B is too small for its shape");
        self.bytes[first..].as_ptr()
    }

    /// Asks for the next cache lines of eight rows: later ones of the same rows, or the first of the next chunk's.
    fn ask(&self, row: usize, at: usize) {
        let mut ahead = at + AHEAD;
        if ahead >= self.left_bytes {
            ahead += (COLUMNS - 1) * self.row_bytes;
        }
        for row in row..row + LANES {
            let place = self.bytes.as_ptr().wrapping_add(row * self.row_bytes + ahead);
            // SAFETY: a prefetch reads nothing, and every processor of this architecture has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
        }
    }
}

/// A slice's bytes.
fn bytes_of<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: floats have no padding, and every byte may be read.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

impl<'a> ChunkSource<'a> {
    /// Columns of the transpose of a source, and a block of its depth.
    ///
    /// # Safety
    /// The processor has AVX2.
    pub(super) unsafe fn new(
        source: &'a dyn RowSource,
        layout: UnitLayout,
        columns: &Range<usize>,
        depth: &Range<usize>,
    ) -> Self {
        let pairs = layout == UnitLayout::Widened;
        let memory = match (source.stored(), source.codes()) {
            _ if depth.is_empty() => Memory::None,
            (Some((Stored::F32(values), stride)), _) if !pairs => {
                Memory::Elements(Rows::new(bytes_of(values), stride, 32, columns, depth), Order::Single)
            }
            (Some((Stored::Bf16(values), stride)), _) => {
                let order = if pairs { Order::SecondFirst } else { Order::FirstSecond };
                Memory::Elements(Rows::new(bytes_of(values), stride, 16, columns, depth), order)
            }
            (None, Some(Codes { values, packed })) if depth.start.is_multiple_of(CODE_STRIP) => {
                let rows = Rows::new(packed, source.columns(), 4, columns, depth);
                // SAFETY: the caller's promise.
                Memory::Codes(rows, unsafe { CodeTables::new(values, pairs) })
            }
            _ => Memory::None,
        };
        let order = if pairs { Order::SecondFirst } else { Order::Single };
        Self { source, order, memory, columns: columns.clone(), depth: depth.clone() }
    }
}

impl<'a> Chunk<'a> {
    /// Units of a chunk.
    pub(super) const UNITS: usize = COLUMNS * DEPTH;

    /// A chunk in this memory.
    pub(super) fn of(values: &'a mut [Unit]) -> Self {
        assert_eq!(values.len(), Self::UNITS);
        Self { values }
    }

    /// The first column's first value; a depth follows the other by `COLUMNS`.
    pub(super) fn first(&self) -> *const f32 {
        self.values.as_ptr().cast()
    }

    /// Fills it with a part of the block's depth from `start` on. Columns beyond those of the source get any value.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn fill(&mut self, source: &ChunkSource<'_>, start: usize, count: usize) {
        assert!(count <= DEPTH, "a chunk has no such depth");
        let width = source.columns.len();
        let mut scales = [0.0; COLUMNS];
        if let Memory::Codes(..) = source.memory
            && count == DEPTH
        {
            source.source.scales(source.columns.start, source.depth.start + start, &mut scales[..width]);
        }
        for column in (0..width).step_by(LANES) {
            let whole = match &source.memory {
                _ if column + LANES > width => 0,
                Memory::Elements(rows, order) => {
                    let (size, strip) = (order.bytes(), order.strip());
                    let whole = count / strip * strip;
                    for at in (0..whole).step_by(strip) {
                        let byte = (start + at) * size;
                        if byte.is_multiple_of(CACHE_LINE) {
                            rows.ask(column, byte);
                        }
                        let from = rows.of(column, byte, strip * size);
                        // SAFETY: `of` has asked for 32 bytes of eight rows, and the strip lies in the chunk.
                        unsafe { lay_strip(from, rows.row_bytes, *order, self.at(at, column)) };
                    }
                    whole
                }
                Memory::Codes(rows, tables) if count == DEPTH => {
                    let byte = start / 2;
                    if byte.is_multiple_of(CACHE_LINE) {
                        rows.ask(column, byte);
                    }
                    let from = rows.of(column, byte, DEPTH / 2);
                    let scales: &[f32; LANES] = scales[column..].first_chunk().expect("a group has eight columns");
                    // SAFETY: `of` has asked for 32 bytes of eight rows, and the chunk is as deep.
                    unsafe {
                        match tables {
                            CodeTables::Quarters(values) => {
                                look_up_bf16(from, rows.row_bytes, values, scales, self.at(0, column));
                            }
                            CodeTables::Bytes(values) => {
                                look_up_f32(from, rows.row_bytes, values, scales, self.at(0, column));
                            }
                        }
                    }
                    count
                }
                Memory::Codes(..) | Memory::None => 0,
            };
            if whole < count {
                // SAFETY: the processor has AVX2.
                unsafe { self.read(source, column, start, whole..count) };
            }
        }
    }

    /// Fills up to eight columns through rows that the source reads, filled up with zeros.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn read(&mut self, source: &ChunkSource<'_>, column: usize, start: usize, part: Range<usize>) {
        let order = source.order;
        let mut rows = [0 as Unit; LANES * DEPTH];
        let from = source.depth.start + start + part.start;
        for row in 0..LANES.min(source.columns.len() - column) {
            let (at, row) = (row * DEPTH, source.columns.start + column + row);
            if order == Order::SecondFirst {
                source.source.read_bf16(row, from, &mut pairs(&mut rows)[2 * at..2 * at + part.len()]);
            } else {
                source.source.read(row, from, &mut floats(&mut rows)[at..at + part.len()]);
            }
        }
        for at in (0..part.len()).step_by(order.strip()) {
            let bytes = bytes_of(&rows)[at * order.bytes()..].as_ptr();
            // SAFETY: eight rows of a chunk's depth were made above; a chunk is as deep as whole strips.
            unsafe { lay_strip(bytes, DEPTH * size_of::<Unit>(), order, self.at(part.start + at, column)) };
        }
    }

    /// A place in the chunk.
    fn at(&mut self, depth: usize, column: usize) -> *mut f32 {
        self.values[depth * COLUMNS + column..].as_mut_ptr().cast()
    }
}

/// Units as floats.
fn floats(units: &mut [Unit]) -> &mut [f32] {
    // SAFETY: both are four bytes with the same alignment, and every bit pattern is a float.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len()) }
}

/// Units as pairs of bf16.
fn pairs(units: &mut [Unit]) -> &mut [bf16] {
    // SAFETY: two bf16 are as large as a unit and less aligned, and every bit pattern is a bf16.
    unsafe { std::slice::from_raw_parts_mut(units.as_mut_ptr().cast(), units.len() * 2) }
}

/// Two bf16 of eight rows, the second before the first, to a depth and the next.
///
/// # Safety
/// The processor has AVX2; eight floats can be written at both.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_pair(pair: __m256i, second: *mut f32, first: *mut f32) {
    let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
    // SAFETY: the caller's promise.
    unsafe {
        _mm256_storeu_si256(second.cast(), _mm256_and_si256(pair, upper));
        _mm256_storeu_si256(first.cast(), _mm256_slli_epi32::<16>(pair));
    }
}

/// Eight rows of 32 bytes as columns.
///
/// # Safety
/// The processor has AVX2; the rows can be read, and eight floats written at as many depths as they have elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn lay_strip(rows: *const u8, row_bytes: usize, order: Order, target: *mut f32) {
    let mut units = [_mm256_setzero_si256(); LANES];
    // SAFETY: the caller's promise.
    unsafe {
        for (row, units) in units.iter_mut().enumerate() {
            *units = _mm256_loadu_si256(rows.wrapping_add(row * row_bytes).cast());
        }
        for (unit, column) in transposed(units).into_iter().enumerate() {
            match order {
                Order::Single => _mm256_storeu_si256(target.add(unit * COLUMNS).cast(), column),
                Order::SecondFirst => {
                    let second = target.add(2 * unit * COLUMNS);
                    store_pair(column, second, second.add(COLUMNS));
                }
                Order::FirstSecond => {
                    let first = target.add(2 * unit * COLUMNS);
                    store_pair(column, first.add(COLUMNS), first);
                }
            }
        }
    }
}

/// 64 codes of eight rows, two a byte, as `value` · `scale` rounded to bf16 and widened.
///
/// A row's sixteen weights are made first, as their low bytes and their high bytes, and looked up by its codes. Two rows
/// share a register. The even depths of a row and its odd ones, which are the two halves of its bytes, stay apart until
/// they are stored.
///
/// # Safety
/// The processor has AVX2; 32 bytes of eight rows can be read, and eight floats written at 64 depths.
#[target_feature(enable = "avx2")]
unsafe fn look_up_bf16(
    rows: *const u8,
    row_bytes: usize,
    quarters: &[__m256; 4],
    scales: &[f32; LANES],
    target: *mut f32,
) {
    let (one, half) = (_mm256_set1_epi32(1), _mm256_set1_epi32(0x7fff));
    let (low_byte, nibble) = (_mm256_set1_epi16(0xff), _mm256_set1_epi8(15));
    let (mut low, mut high) = ([_mm256_setzero_si256(); 4], [_mm256_setzero_si256(); 4]);
    for i in 0..4 {
        // Row i in the lower half of a register and row 4 + i in the upper, so that quarters are all there is to transpose.
        let scale = _mm256_set_m128(_mm_set1_ps(scales[4 + i]), _mm_set1_ps(scales[i]));
        // As `Element::narrow` rounds what is a number.
        let rounded = |quarter: usize| {
            let bits = _mm256_castps_si256(_mm256_mul_ps(quarters[quarter], scale));
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), one);
            _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, _mm256_add_epi32(half, odd)))
        };
        let first = _mm256_packus_epi32(rounded(0), rounded(1));
        let second = _mm256_packus_epi32(rounded(2), rounded(3));
        low[i] = _mm256_packus_epi16(_mm256_and_si256(first, low_byte), _mm256_and_si256(second, low_byte));
        high[i] = _mm256_packus_epi16(_mm256_srli_epi16::<8>(first), _mm256_srli_epi16::<8>(second));
    }
    for start in [0, 32] {
        let zeros = [_mm256_setzero_si256(); 4];
        let (mut even_low, mut even_high, mut odd_low, mut odd_high) = (zeros, zeros, zeros, zeros);
        for i in 0..4 {
            let row = |row: usize| {
                // SAFETY: sixteen bytes of a row, from its first or its sixteenth on.
                unsafe { _mm_loadu_si128(rows.wrapping_add(row * row_bytes + start / 2).cast()) }
            };
            let bytes = _mm256_set_m128i(row(4 + i), row(i));
            // The first element of a pair stands in the high nibble.
            let (even, odd) =
                (_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble), _mm256_and_si256(bytes, nibble));
            (even_low[i], even_high[i]) = (_mm256_shuffle_epi8(low[i], even), _mm256_shuffle_epi8(high[i], even));
            (odd_low[i], odd_high[i]) = (_mm256_shuffle_epi8(low[i], odd), _mm256_shuffle_epi8(high[i], odd));
        }
        for part in 0..2 {
            let (mut even, mut odd) = (zeros, zeros);
            for i in 0..4 {
                (even[i], odd[i]) = if part == 0 {
                    (_mm256_unpacklo_epi8(even_low[i], even_high[i]), _mm256_unpacklo_epi8(odd_low[i], odd_high[i]))
                } else {
                    (_mm256_unpackhi_epi8(even_low[i], even_high[i]), _mm256_unpackhi_epi8(odd_low[i], odd_high[i]))
                };
            }
            let (even, odd) = (quarters_transposed(even), quarters_transposed(odd));
            for (i, (even, odd)) in even.into_iter().zip(odd).enumerate() {
                // Depths 0 and 2 of four in the one, 1 and 3 in the other.
                // SAFETY: the caller's promise: a depth below 64.
                unsafe {
                    let target = target.add((start + 16 * part + 4 * i) * COLUMNS);
                    store_pair(odd, target.add(2 * COLUMNS), target);
                    store_pair(even, target.add(3 * COLUMNS), target.add(COLUMNS));
                }
            }
        }
    }
}

/// 64 codes of eight rows, two a byte, as `value` · `scale`.
///
/// The sixteen values are four tables of bytes: the codes of four rows at a depth are looked up in each, and what is found
/// is put together in pairs and pairs of pairs.
///
/// # Safety
/// The processor has AVX2; 32 bytes of eight rows can be read, and eight floats written at 64 depths.
#[target_feature(enable = "avx2")]
unsafe fn look_up_f32(
    rows: *const u8,
    row_bytes: usize,
    tables: &[__m256i; 4],
    scales: &[f32; LANES],
    target: *mut f32,
) {
    let nibble = _mm256_set1_epi8(15);
    // Four rows of four bytes as four bytes of four rows.
    let by_depth = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let mut eight = [_mm256_setzero_si256(); LANES];
    // SAFETY: the caller's promise; there are eight scales.
    let scales = unsafe {
        for (row, eight) in eight.iter_mut().enumerate() {
            *eight = _mm256_loadu_si256(rows.wrapping_add(row * row_bytes).cast());
        }
        _mm256_loadu_ps(scales.as_ptr())
    };
    for (index, bytes) in transposed(eight).into_iter().enumerate() {
        let bytes = _mm256_shuffle_epi8(bytes, by_depth);
        let (even, odd) = (_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble), _mm256_and_si256(bytes, nibble));
        for (codes, second) in [(even, 0), (odd, 1)] {
            let mut found = [_mm256_setzero_si256(); 4];
            for (found, table) in found.iter_mut().zip(tables) {
                *found = _mm256_shuffle_epi8(*table, codes);
            }
            let (first, last) = (
                [_mm256_unpacklo_epi8(found[0], found[1]), _mm256_unpacklo_epi8(found[2], found[3])],
                [_mm256_unpackhi_epi8(found[0], found[1]), _mm256_unpackhi_epi8(found[2], found[3])],
            );
            let values = [
                _mm256_unpacklo_epi16(first[0], first[1]),
                _mm256_unpackhi_epi16(first[0], first[1]),
                _mm256_unpacklo_epi16(last[0], last[1]),
                _mm256_unpackhi_epi16(last[0], last[1]),
            ];
            for (byte, values) in values.into_iter().enumerate() {
                let weights = _mm256_mul_ps(_mm256_castsi256_ps(values), scales);
                // SAFETY: the caller's promise: a depth below 64.
                unsafe { _mm256_storeu_ps(target.add((8 * index + 2 * byte + second) * COLUMNS), weights) };
            }
        }
    }
}
