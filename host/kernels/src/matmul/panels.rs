//! B in panels of 32 columns. A panel holds, unit of depth by unit of depth, four bytes for each column: one f32, or two
//! bf16 that follow one another along the depth (`UnitLayout`). Packing is where a frozen weight is widened from 4 bits.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use half::bf16;
use rayon::prelude::*;

use super::source::RowSource;
#[cfg(target_arch = "x86_64")]
use super::unit_square::transposed;
use crate::element::{Element, UnitLayout, convert};
use crate::simd::vectorized;

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;

/// A unit of depth of one column. Of a pair the first is the lower half.
pub(super) type Unit = u32;

/// A cache line: a load that straddles two of them costs twice.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([Unit; 16]);

/// Units whose first stands at the beginning of a cache line.
#[derive(Default)]
pub(super) struct Units {
    lines: Vec<Line>,
}

impl Units {
    /// Room for this many units; what they hold is left over from their last use.
    pub(super) fn room(&mut self, units: usize) -> &mut [Unit] {
        let lines = units.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 16]));
        }
        // SAFETY: a line is sixteen units without padding, and all lines of that room are initialized.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), units) }
    }

    fn as_slice(&self) -> &[Unit] {
        // SAFETY: a line is sixteen units without padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
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

/// Which way a source stands to B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orientation {
    /// B is the source [depth, columns].
    Straight,
    /// B is the transpose of the source [columns, depth].
    Transposed,
}

/// A part of B: columns from a panel's first on, and depth from a unit's first on.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) columns: Range<usize>,
    pub(super) depth: Range<usize>,
}

impl Part {
    /// Units along the depth.
    fn units<E: Element>(&self) -> usize {
        self.depth.len() / E::layout().elements()
    }

    /// Units of all panels.
    pub(super) fn units_total<E: Element>(&self) -> usize {
        self.columns.len().div_ceil(PANEL) * PANEL * self.units::<E>()
    }
}

thread_local! {
    /// Rows on their way into panels.
    static ROWS: RefCell<Units> = RefCell::default();
}

/// Packs a part of B into `panels`, one panel after another, filled up with zeros. The depth is even in bf16.
pub(super) fn pack<E: Element>(source: &dyn RowSource, orientation: Orientation, part: &Part, panels: &mut [Unit]) {
    let units = part.units::<E>();
    if units == 0 {
        return;
    }
    ROWS.with_borrow_mut(|rows| match orientation {
        Orientation::Straight => pack_straight(source, E::layout(), part, units, panels, rows),
        Orientation::Transposed => pack_transposed(source, E::layout(), part, units, panels, rows),
    });
}

fn pack_straight(
    source: &dyn RowSource,
    layout: UnitLayout,
    part: &Part,
    units: usize,
    panels: &mut [Unit],
    rows: &mut Units,
) {
    let width = part.columns.len();
    let padded = width.next_multiple_of(PANEL);
    // Two rows in bf16 take as much room as one in f32.
    let rows = rows.room(padded * 2);
    rows.fill(0);
    let (row, scratch) = rows.split_at_mut(padded);
    for unit in 0..units {
        match layout {
            UnitLayout::Single => {
                source.read(part.depth.start + unit, part.columns.start, &mut floats(row)[..width]);
            }
            UnitLayout::Pair => {
                let (first, second) = pairs(scratch).split_at_mut(padded);
                source.read_bf16(part.depth.start + 2 * unit, part.columns.start, &mut first[..width]);
                source.read_bf16(part.depth.start + 2 * unit + 1, part.columns.start, &mut second[..width]);
                interleave(first, second, row);
            }
            UnitLayout::Widened => {
                let values = &mut pairs(scratch)[..width];
                source.read_bf16(part.depth.start + (unit ^ 1), part.columns.start, values);
                widen(values, &mut floats(row)[..width]);
            }
        }
        for (panel, values) in row.chunks_exact(PANEL).enumerate() {
            let at = (panel * units + unit) * PANEL;
            panels[at..at + PANEL].copy_from_slice(values);
        }
    }
}

vectorized! {
    /// target[i] = a[i] in the lower half and b[i] in the upper.
    pub(super) fn interleave(a: &[bf16], b: &[bf16], target: &mut [Unit]) {
        for ((target, a), b) in target.iter_mut().zip(a).zip(b) {
            *target = Unit::from(a.to_bits()) | Unit::from(b.to_bits()) << 16;
        }
    }
}

vectorized! {
    pub(super) fn widen(values: &[bf16], target: &mut [f32]) {
        convert(values, target);
    }
}

vectorized! {
    /// Elements that follow one another along the depth as units; in bf16 an even number of them.
    pub(super) fn lay_out<E: Element>(values: &[E], layout: UnitLayout, units: &mut [Unit]) {
        let pairs = values.as_chunks::<2>().0;
        match layout {
            UnitLayout::Single => {
                for (unit, value) in units.iter_mut().zip(values) {
                    *unit = value.widen().to_bits();
                }
            }
            UnitLayout::Pair => {
                for (unit, [first, second]) in units.iter_mut().zip(pairs) {
                    *unit = first.widen().to_bits() >> 16 | second.widen().to_bits() & 0xffff_0000;
                }
            }
            UnitLayout::Widened => {
                for (units, [first, second]) in units.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
                    *units = [second.widen().to_bits(), first.widen().to_bits()];
                }
            }
        }
    }
}

fn pack_transposed(
    source: &dyn RowSource,
    layout: UnitLayout,
    part: &Part,
    units: usize,
    panels: &mut [Unit],
    rows: &mut Units,
) {
    /// Units of depth that are transposed at a time.
    const STRIP: usize = 64;
    let (rows, scratch) = rows.room(2 * PANEL * STRIP).split_at_mut(PANEL * STRIP);
    for (panel, target) in panels.chunks_exact_mut(units * PANEL).enumerate() {
        let first = part.columns.start + panel * PANEL;
        let width = PANEL.min(part.columns.end - first);
        rows[width * STRIP..].fill(0);
        for (strip, target) in target.chunks_mut(STRIP * PANEL).enumerate() {
            let start = part.depth.start + strip * STRIP * layout.elements();
            let count = target.len() / PANEL;
            for (i, row) in rows.chunks_exact_mut(STRIP).take(width).enumerate() {
                match layout {
                    UnitLayout::Single => source.read(first + i, start, &mut floats(row)[..count]),
                    UnitLayout::Pair => source.read_bf16(first + i, start, &mut pairs(row)[..2 * count]),
                    UnitLayout::Widened => source.read_bf16(first + i, start, &mut pairs(row)[..count]),
                }
            }
            if layout == UnitLayout::Widened {
                // Pairs are half as many units to transpose.
                let transposed = &mut scratch[..target.len() / 2];
                transpose(rows, STRIP, transposed);
                widen_pairs(transposed, target);
            } else {
                transpose(rows, STRIP, target);
            }
        }
    }
}

vectorized! {
    /// Rows of pairs as two rows each: that of the second of each pair, and that of the first.
    fn widen_pairs(pairs: &[Unit], target: &mut [Unit]) {
        for (pairs, target) in pairs.chunks_exact(PANEL).zip(target.chunks_exact_mut(2 * PANEL)) {
            let (seconds, firsts) = target.split_at_mut(PANEL);
            for ((pair, second), first) in pairs.iter().zip(seconds).zip(firsts) {
                (*second, *first) = (pair & 0xffff_0000, pair << 16);
            }
        }
    }
}

/// target[u · 32 + row] = rows[row · stride + u].
fn transpose(rows: &[Unit], stride: usize, target: &mut [Unit]) {
    #[cfg(target_arch = "x86_64")]
    if crate::processor::instruction_set() == crate::processor::InstructionSet::Avx512 {
        let whole = target.len() / (16 * PANEL) * 16;
        // SAFETY: the processor has AVX-512 F.
        unsafe { transpose_avx512(rows, stride, &mut target[..whole * PANEL]) };
        return transpose_portable(rows, stride, whole, target);
    }
    #[cfg(target_arch = "x86_64")]
    if crate::processor::instruction_set() == crate::processor::InstructionSet::Avx2 {
        let whole = target.len() / (8 * PANEL) * 8;
        // SAFETY: the processor has AVX2.
        unsafe { transpose_avx2(rows, stride, &mut target[..whole * PANEL]) };
        return transpose_portable(rows, stride, whole, target);
    }
    transpose_portable(rows, stride, 0, target);
}

fn transpose_portable(rows: &[Unit], stride: usize, first: usize, target: &mut [Unit]) {
    for (unit, target) in target.chunks_exact_mut(PANEL).enumerate().skip(first) {
        for (row, target) in target.iter_mut().enumerate() {
            *target = rows[row * stride + unit];
        }
    }
}

/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_avx2(rows: &[Unit], stride: usize, target: &mut [Unit]) {
    use std::arch::x86_64::*;
    let units = target.len() / PANEL;
    assert!(units.is_multiple_of(8) && units <= stride && rows.len() >= PANEL * stride, "a transpose out of bounds");
    for unit in (0..units).step_by(8) {
        for first in (0..PANEL).step_by(8) {
            let mut v = [_mm256_setzero_si256(); 8];
            for (i, v) in v.iter_mut().enumerate() {
                // SAFETY: row first + i < 32 and units unit .. unit + 8 <= stride: asserted above.
                *v = unsafe { _mm256_loadu_si256(rows.as_ptr().add((first + i) * stride + unit).cast()) };
            }
            for (i, v) in transposed(v).into_iter().enumerate() {
                // SAFETY: target row unit + i is within `units`, and first + 8 <= 32.
                unsafe { _mm256_storeu_si256(target.as_mut_ptr().add((unit + i) * PANEL + first).cast(), v) };
            }
        }
    }
}

/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_avx512(rows: &[Unit], stride: usize, target: &mut [Unit]) {
    use std::arch::x86_64::*;
    let units = target.len() / PANEL;
    assert!(units.is_multiple_of(16) && units <= stride && rows.len() >= PANEL * stride, "a transpose out of bounds");
    for unit in (0..units).step_by(16) {
        for half in [0, 16] {
            let mut v = [_mm512_setzero_si512(); 16];
            for (i, v) in v.iter_mut().enumerate() {
                // SAFETY: row half + i < 32 and units unit .. unit + 16 <= stride: asserted above.
                *v = unsafe { _mm512_loadu_si512(rows.as_ptr().add((half + i) * stride + unit).cast()) };
            }
            // Sixteen by sixteen in four rounds: pairs of units, pairs of pairs, then quarters of registers.
            let mut w = [_mm512_setzero_si512(); 16];
            for i in 0..8 {
                w[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
                w[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
            }
            for i in 0..4 {
                v[4 * i] = _mm512_unpacklo_epi64(w[4 * i], w[4 * i + 2]);
                v[4 * i + 1] = _mm512_unpackhi_epi64(w[4 * i], w[4 * i + 2]);
                v[4 * i + 2] = _mm512_unpacklo_epi64(w[4 * i + 1], w[4 * i + 3]);
                v[4 * i + 3] = _mm512_unpackhi_epi64(w[4 * i + 1], w[4 * i + 3]);
            }
            for i in 0..4 {
                w[i] = _mm512_shuffle_i32x4::<0x88>(v[i], v[4 + i]);
                w[4 + i] = _mm512_shuffle_i32x4::<0xdd>(v[i], v[4 + i]);
                w[8 + i] = _mm512_shuffle_i32x4::<0x88>(v[8 + i], v[12 + i]);
                w[12 + i] = _mm512_shuffle_i32x4::<0xdd>(v[8 + i], v[12 + i]);
            }
            for i in 0..4 {
                v[i] = _mm512_shuffle_i32x4::<0x88>(w[i], w[8 + i]);
                v[4 + i] = _mm512_shuffle_i32x4::<0x88>(w[4 + i], w[12 + i]);
                v[8 + i] = _mm512_shuffle_i32x4::<0xdd>(w[i], w[8 + i]);
                v[12 + i] = _mm512_shuffle_i32x4::<0xdd>(w[4 + i], w[12 + i]);
            }
            for (i, v) in v.iter().enumerate() {
                // SAFETY: target row unit + i is within `units`, and half + 16 <= 32.
                unsafe { _mm512_storeu_si512(target.as_mut_ptr().add((unit + i) * PANEL + half).cast(), *v) };
            }
        }
    }
}

/// Free memory of packings that outlive a product.
static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), lines: 0 });

/// Memory between two packings.
struct Pool {
    free: Vec<Units>,
    /// Of all that is free.
    lines: usize,
}

impl Pool {
    /// The most that is kept, in cache lines: 64 MiB. What comes back beyond it is let go.
    const LINES_MAX: usize = (64 << 20) / size_of::<Line>();

    /// Memory of the last that came back, or none.
    fn take() -> Units {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let units = pool.free.pop().unwrap_or_default();
        pool.lines -= units.lines.len();
        units
    }

    fn give_back(units: Units) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if !units.lines.is_empty() && pool.lines + units.lines.len() <= Self::LINES_MAX {
            pool.lines += units.lines.len();
            pool.free.push(units);
        }
    }
}

/// The whole of B in panels, for more than one product.
pub(crate) struct Packed<E = f32> {
    pub(super) depth: usize,
    pub(super) columns: usize,
    panels: Units,
    element: PhantomData<E>,
}

impl<E> Drop for Packed<E> {
    fn drop(&mut self) {
        Pool::give_back(std::mem::take(&mut self.panels));
    }
}

impl<E: Element> Packed<E> {
    /// B = W, for W [depth, columns].
    pub(crate) fn of(matrix: &dyn RowSource) -> Self {
        Self::of_source(matrix, Orientation::Straight, matrix.rows(), matrix.columns())
    }

    /// B = Wᵀ, for W [columns, depth].
    pub(crate) fn of_transposed(matrix: &dyn RowSource) -> Self {
        Self::of_source(matrix, Orientation::Transposed, matrix.columns(), matrix.rows())
    }

    fn of_source(matrix: &dyn RowSource, orientation: Orientation, depth: usize, columns: usize) -> Self {
        /// Panels that a thread packs at a time.
        const GROUP: usize = 4;
        let mut panels = Pool::take();
        let part = Part { columns: 0..columns, depth: 0..depth };
        assert!(depth.is_multiple_of(2) || E::layout() == UnitLayout::Single, "the depth of a product in bf16 is even");
        let room = panels.room(part.units_total::<E>());
        let group = GROUP * PANEL * part.units::<E>();
        let pack = |index: usize, panels: &mut [Unit]| {
            let first = index * GROUP * PANEL;
            let columns = first..columns.min(first + GROUP * PANEL);
            pack::<E>(matrix, orientation, &Part { columns, depth: 0..depth }, panels);
        };
        if depth * columns >= 1 << 15 {
            // Each panel is written by one thread, so their order does not matter.
            room.par_chunks_mut(group).enumerate().for_each(|(index, panels)| pack(index, panels));
        } else if depth > 0 {
            room.chunks_mut(group).enumerate().for_each(|(index, panels)| pack(index, panels));
        }
        Self { depth, columns, panels, element: PhantomData }
    }

    /// B [depth, columns] whose panels lie elsewhere: `fill` is handed each with its index.
    pub(crate) fn of_panels(depth: usize, columns: usize, mut fill: impl FnMut(usize, &mut Panel<'_, E>)) -> Self {
        let mut panels = Pool::take();
        let part = Part { columns: 0..columns, depth: 0..depth };
        assert!(depth.is_multiple_of(2) || E::layout() == UnitLayout::Single, "the depth of a product in bf16 is even");
        if depth > 0 {
            let room = panels.room(part.units_total::<E>());
            for (index, units) in room.chunks_exact_mut(part.units::<E>() * PANEL).enumerate() {
                fill(index, &mut Panel { units, element: PhantomData });
            }
        }
        Self { depth, columns, panels, element: PhantomData }
    }

    /// All of B.
    pub(crate) fn all(&self) -> PackedView<'_, E> {
        PackedView {
            depth: self.depth,
            columns: self.columns,
            panel_units: self.depth / E::layout().elements(),
            panels: self.panels.as_slice(),
            element: PhantomData,
        }
    }

    /// The first columns of B.
    pub(crate) fn first_columns(&self, columns: usize) -> PackedView<'_, E> {
        PackedView { columns: columns.min(self.columns), ..self.all() }
    }

    /// The first rows of B.
    pub(crate) fn first_rows(&self, depth: usize) -> PackedView<'_, E> {
        PackedView { depth: depth.min(self.depth), ..self.all() }
    }
}

/// One panel of a B, on its way into it.
pub(crate) struct Panel<'a, E> {
    units: &'a mut [Unit],
    element: PhantomData<E>,
}

impl<E: Element> Panel<'_, E> {
    /// Copies rows [steps, width, elements of a step], a step being `E::TOGETHER` elements along the depth; the first of
    /// them is step `first`. The columns beyond their width never reach C.
    pub(crate) fn put(&mut self, first: usize, rows: &[E], width: usize) {
        let layout = E::layout();
        let step = E::TOGETHER / layout.elements() * PANEL;
        let target = &mut self.units[first * step..];
        match layout {
            UnitLayout::Single | UnitLayout::Pair if width == PANEL => lay_out(rows, layout, target),
            UnitLayout::Single | UnitLayout::Pair => {
                for (row, target) in rows.chunks_exact(width * E::TOGETHER).zip(target.chunks_exact_mut(step)) {
                    lay_out(row, layout, target);
                }
            }
            UnitLayout::Widened => {
                for (row, target) in rows.chunks_exact(width * E::TOGETHER).zip(target.chunks_exact_mut(step)) {
                    let (seconds, firsts) = target.split_at_mut(PANEL);
                    separate(row, seconds, firsts);
                }
            }
        }
    }
}

vectorized! {
    /// Pairs as two rows of widened units.
    fn separate<E: Element>(pairs: &[E], seconds: &mut [Unit], firsts: &mut [Unit]) {
        for (([first, second], firsts), seconds) in pairs.as_chunks::<2>().0.iter().zip(firsts).zip(seconds) {
            (*firsts, *seconds) = (first.widen().to_bits(), second.widen().to_bits());
        }
    }
}

/// A corner of B.
#[derive(Clone, Copy)]
pub(crate) struct PackedView<'a, E = f32> {
    pub(super) depth: usize,
    pub(super) columns: usize,
    /// Units of the whole B along the depth, which a panel holds.
    pub(super) panel_units: usize,
    pub(super) panels: &'a [Unit],
    element: PhantomData<E>,
}

impl<E> PackedView<'_, E> {
    /// Its columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_later_packings_has_a_bound() {
        let lines = 5 * Pool::LINES_MAX / 8;
        let of = |lines| Units { lines: vec![Line([0; 16]); lines] };
        for _ in 0..4 {
            Pool::give_back(of(lines));
        }
        let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        // Other tests pack meanwhile.
        let free: usize = pool.free.iter().map(|units| units.lines.len()).sum();
        assert!(free == pool.lines && free <= Pool::LINES_MAX, "{free} lines");
        assert!(pool.free.iter().filter(|units| units.lines.len() >= lines).count() <= 1);
    }

    #[test]
    fn transposes_every_unit() {
        let rows: Vec<Unit> = (0..(PANEL * 64) as Unit).collect();
        for count in [1, 15, 16, 17, 40, 64] {
            let mut target = vec![0; count * PANEL];
            transpose(&rows, 64, &mut target);
            for (at, unit) in target.iter().enumerate() {
                assert_eq!(*unit as usize, at % PANEL * 64 + at / PANEL, "{count} units, at {at}");
            }
        }
    }
}
