//! The two types of an activation: f32, and bf16 with every sum in f32.
//!
//! A bf16 is the upper half of an f32. Rounding is to nearest, ties to even, and keeps subnormal numbers, on every
//! processor alike.

use candle_core::{CpuStorage, WithDType};
use half::bf16;

use crate::processor::has_bf16_products;

/// What four bytes of an operand of a product hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitLayout {
    /// One f32.
    Single,
    /// Two bf16 side by side along the depth, for processors that multiply them.
    Pair,
    /// One bf16 widened to f32; of two along the depth the second comes first, as in the products of a pair.
    Widened,
}

impl UnitLayout {
    /// Elements of a unit.
    #[inline]
    pub(crate) fn elements(self) -> usize {
        match self {
            Self::Single | Self::Widened => 1,
            Self::Pair => 2,
        }
    }
}

/// The result of a product, row-major.
pub enum Output<'a> {
    /// Kept as it is added up.
    F32(&'a mut [f32]),
    /// Rounded at the end.
    Bf16(&'a mut [bf16]),
}

/// Values in memory.
pub enum Stored<'a> {
    /// In 32 bits.
    F32(&'a [f32]),
    /// In 16 bits.
    Bf16(&'a [bf16]),
}

/// A type that activations are kept in.
pub trait Element: WithDType {
    /// Elements of a transposed operand that stand side by side along the depth (`matmul::Columns`).
    const TOGETHER: usize;

    /// How operands of a product are laid out on this processor.
    fn layout() -> UnitLayout;

    /// Rounds.
    fn narrow(value: f32) -> Self;

    /// Widens, exactly.
    fn widen(self) -> f32;

    /// Values as they are in memory.
    fn stored(values: &[Self]) -> Stored<'_>;

    /// Values as the result of a product.
    fn output(values: &mut [Self]) -> Output<'_>;

    /// The values of a storage of this type.
    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Element for f32 {
    const TOGETHER: usize = 1;

    #[inline]
    fn layout() -> UnitLayout {
        UnitLayout::Single
    }

    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn stored(values: &[Self]) -> Stored<'_> {
        Stored::F32(values)
    }

    fn output(values: &mut [Self]) -> Output<'_> {
        Output::F32(values)
    }

    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(values) = storage { Some(values) } else { None }
    }
}

impl Element for bf16 {
    const TOGETHER: usize = 2;

    #[inline]
    fn layout() -> UnitLayout {
        if has_bf16_products() { UnitLayout::Pair } else { UnitLayout::Widened }
    }

    /// `half`'s own conversion branches; this can be compiled to vector instructions.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // A NaN stays one: rounding its bits could carry them into a number.
        let quiet = (bits >> 16) | 0x40;
        bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn stored(values: &[Self]) -> Stored<'_> {
        Stored::Bf16(values)
    }

    fn output(values: &mut [Self]) -> Output<'_> {
        Output::Bf16(values)
    }

    fn values_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::BF16(values) = storage { Some(values) } else { None }
    }
}

/// Rounds or widens element by element.
#[inline]
pub(crate) fn convert<F: Element, T: Element>(from: &[F], to: &mut [T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = T::narrow(from.widen());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_the_half_crate_does() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let (got, expected) = (bf16::narrow(value), bf16::from_f32(value));
            assert_eq!(got.to_bits(), expected.to_bits(), "{bits:08x}");
        }
        assert_eq!(bf16::narrow(f32::MAX), bf16::INFINITY);
    }
}
