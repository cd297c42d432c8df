//! A matrix of integers, read row by row.

use half::bf16;

use super::codes::{CodeWidth, IntegerCodes};
use crate::element::Element;
use crate::look_up::{look_up_bf16, look_up_f32};
use crate::matmul::RowSource;
use crate::scales::Scales;
use crate::simd::vectorized;

/// The group that an input belongs to.
#[derive(Debug, Clone)]
pub enum Groups {
    /// Inputs that follow one another, so many a group; the last may be smaller.
    Even(usize),
    /// A group for each input (act-order).
    Map(Vec<u32>),
}

/// The zero points.
#[derive(Debug, Clone)]
pub enum Zeros {
    /// The same everywhere.
    Same(u8),
    /// One for each output and group.
    Each(IntegerCodes),
}

/// A quantized matrix [rows = out, columns = in].
#[derive(Debug, Clone)]
pub struct IntegerMatrix {
    rows: usize,
    columns: usize,
    codes: IntegerCodes,
    scales: Scales,
    zeros: Zeros,
    groups: Groups,
    group_count: usize,
}

impl IntegerMatrix {
    /// A matrix from its parts: codes of every element, scales and zero points [rows, groups].
    pub fn new(
        (rows, columns): (usize, usize),
        codes: IntegerCodes,
        scales: Scales,
        zeros: Zeros,
        groups: Groups,
    ) -> Self {
        let group_count = scales.len() / rows.max(1);
        assert_eq!(codes.len(), rows * columns, "a code for every element");
        assert_eq!(scales.len(), rows * group_count, "a scale for every output and group");
        if let Zeros::Each(zeros) = &zeros {
            assert_eq!(zeros.len(), rows * group_count, "a zero point for every output and group");
        }
        match &groups {
            Groups::Even(size) => assert!(*size > 0 && columns.div_ceil(*size) <= group_count, "a group without scale"),
            Groups::Map(map) => {
                assert_eq!(map.len(), columns, "a group for every input");
                assert!(map.iter().all(|group| (*group as usize) < group_count), "a group without scale");
            }
        }
        Self { rows, columns, codes, scales, zeros, groups, group_count }
    }

    /// Number of outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let zeros = if let Zeros::Each(zeros) = &self.zeros { zeros.bytes().len() } else { 0 };
        let map = if let Groups::Map(map) = &self.groups { map.len() * 4 } else { 0 };
        self.codes.bytes().len() + self.scales.bytes() + zeros + map
    }

    /// The codes of all elements.
    pub(crate) fn codes(&self) -> &IntegerCodes {
        &self.codes
    }

    /// The scales, [rows, groups].
    pub(crate) fn scales(&self) -> &Scales {
        &self.scales
    }

    /// The zero points.
    pub(crate) fn zeros(&self) -> &Zeros {
        &self.zeros
    }

    /// The group of each input.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Number of groups.
    pub(crate) fn group_count(&self) -> usize {
        self.group_count
    }

    /// Scale and zero point of a row's group.
    #[inline]
    fn group(&self, row: usize, group: usize) -> (f32, i32) {
        let at = row * self.group_count + group;
        let zero = match &self.zeros {
            Zeros::Same(zero) => *zero,
            Zeros::Each(zeros) => zeros.get(at),
        };
        (self.scales.get(at), i32::from(zero))
    }

    /// A row from a column on, group by group or, by a map, element by element.
    fn values<T: Element>(
        &self,
        row: usize,
        column: usize,
        target: &mut [T],
        look_up: impl Fn(&[T; 16], &[u8], usize, &mut [T]),
    ) {
        let first = row * self.columns + column;
        let size = match &self.groups {
            Groups::Even(size) => *size,
            Groups::Map(map) => {
                for (i, (target, group)) in target.iter_mut().zip(&map[column..]).enumerate() {
                    let (scale, zero) = self.group(row, *group as usize);
                    *target = T::narrow(weight(self.codes.get(first + i), zero, scale));
                }
                return;
            }
        };
        let mut done = 0;
        while done < target.len() {
            let at = column + done;
            let length = (size - at % size).min(target.len() - done);
            let (scale, zero) = self.group(row, at / size);
            let (from, target) = (first + done, &mut target[done..done + length]);
            match self.codes.width() {
                CodeWidth::Four => {
                    let values = std::array::from_fn(|code| T::narrow(weight(code as u8, zero, scale)));
                    look_up(&values, self.codes.bytes(), from, target);
                }
                CodeWidth::Eight => weights(&self.codes.bytes()[from..from + length], zero, scale, target),
            }
            done += length;
        }
    }
}

/// (q − z) · s.
#[inline(always)]
fn weight(code: u8, zero: i32, scale: f32) -> f32 {
    (i32::from(code) - zero) as f32 * scale
}

vectorized! {
    fn weights<T: Element>(codes: &[u8], zero: i32, scale: f32, target: &mut [T]) {
        for (target, code) in target.iter_mut().zip(codes) {
            *target = T::narrow(weight(*code, zero, scale));
        }
    }
}

impl RowSource for IntegerMatrix {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read(&self, row: usize, column: usize, target: &mut [f32]) {
        self.values(row, column, target, look_up_f32);
    }

    fn read_bf16(&self, row: usize, column: usize, target: &mut [bf16]) {
        self.values(row, column, target, look_up_bf16);
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// A matrix of every kind, and what the equation says of each element.
    fn matrices() -> Vec<(&'static str, IntegerMatrix, Vec<f32>)> {
        let (rows, columns) = (6usize, 150usize);
        let mut made = Vec::new();
        for width in [CodeWidth::Four, CodeWidth::Eight] {
            let code = |row: usize, column: usize| ((row * 89 + column * 37) % (1 << width.bits())) as u8;
            let zero = |row: usize, group: usize| ((row + 5 * group) % (1 << width.bits())) as u8;
            let scale = |row: usize, group: usize| 0.01 + (row * 5 + group) as f32 / 512.0;
            for (name, size, mapped) in
                [("groups of 32", 32, false), ("one group", 150, false), ("odd", 7, false), ("map", 32, true)]
            {
                let count = columns.div_ceil(size);
                let group = |column: usize| if mapped { (column * 3) % count } else { column / size };
                let groups = match mapped {
                    true => Groups::Map((0..columns).map(|column| group(column) as u32).collect()),
                    false => Groups::Even(size),
                };
                let all = |value: &dyn Fn(usize, usize) -> f32| -> Vec<f16> {
                    (0..rows * count).map(|at| f16::from_f32(value(at / count, at % count))).collect()
                };
                let matrix = IntegerMatrix::new(
                    (rows, columns),
                    IntegerCodes::new(width, rows, columns, code),
                    Scales::F16(all(&scale)),
                    Zeros::Each(IntegerCodes::new(width, rows, count, zero)),
                    groups,
                );
                let element = |at: usize| {
                    let (row, column) = (at / columns, at % columns);
                    let scale = f16::from_f32(scale(row, group(column))).to_f32();
                    (i32::from(code(row, column)) - i32::from(zero(row, group(column)))) as f32 * scale
                };
                made.push((name, matrix, (0..rows * columns).map(element).collect()));
            }
        }
        made
    }

    #[test]
    fn every_element_is_what_the_equation_says() {
        for (name, matrix, expected) in matrices() {
            let columns = matrix.columns();
            for (column, length) in [(0, columns), (5, 40), (31, 2), (64, 64), (96, 32)] {
                let (mut got, mut rounded) = (vec![0.0; length], vec![bf16::ZERO; length]);
                for row in 0..matrix.rows() {
                    matrix.read(row, column, &mut got);
                    matrix.read_bf16(row, column, &mut rounded);
                    let expected = &expected[row * columns + column..][..length];
                    assert_eq!(got, expected, "{name}, row {row} from {column} on");
                    let narrow: Vec<bf16> = expected.iter().map(|value| bf16::narrow(*value)).collect();
                    assert_eq!(rounded, narrow, "{name}, row {row} from {column} on");
                }
            }
        }
    }
}
