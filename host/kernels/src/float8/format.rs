//! The two formats of a float of 8 bits.

use crate::element::Element;
use crate::simd::vectorized;

/// A float of 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float8 {
    /// 4 bits of exponent and 3 of mantissa, without infinities.
    E4m3,
    /// 5 bits of exponent and 2 of mantissa.
    E5m2,
}

impl Float8 {
    /// The number that a code stands for.
    #[inline]
    pub fn widen(self, code: u8) -> f32 {
        match self {
            Self::E4m3 => e4m3(code),
            Self::E5m2 => e5m2(code),
        }
    }

    /// Numbers times a scale.
    pub(super) fn scaled<T: Element>(self, codes: &[u8], scale: f32, target: &mut [T]) {
        match self {
            Self::E4m3 => scaled_e4m3(codes, scale, target),
            Self::E5m2 => scaled_e5m2(codes, scale, target),
        }
    }
}

/// A number from its sign, which is the highest bit, and its magnitude.
#[inline(always)]
fn signed(code: u8, magnitude: f32) -> f32 {
    f32::from_bits(magnitude.to_bits() | u32::from(code & 0x80) << 24)
}

#[inline(always)]
fn e4m3(code: u8) -> f32 {
    let magnitude = u32::from(code & 0x7f);
    // Exponent and mantissa where an f32 has them, with the difference of the biases, 120, added.
    let normal = f32::from_bits((magnitude << 20) + (120 << 23));
    let subnormal = magnitude as f32 * (1.0 / 512.0);
    let value = if magnitude < 8 { subnormal } else { normal };
    signed(code, if magnitude == 0x7f { f32::NAN } else { value })
}

#[inline(always)]
fn e5m2(code: u8) -> f32 {
    let magnitude = u32::from(code & 0x7f);
    let normal = f32::from_bits((magnitude << 21) + (112 << 23));
    let subnormal = magnitude as f32 * (1.0 / 65_536.0);
    let value = if magnitude < 4 { subnormal } else { normal };
    let finite = if magnitude == 0x7c { f32::INFINITY } else { value };
    signed(code, if magnitude > 0x7c { f32::NAN } else { finite })
}

vectorized! {
    fn scaled_e4m3<T: Element>(codes: &[u8], scale: f32, target: &mut [T]) {
        for (target, code) in target.iter_mut().zip(codes) {
            *target = T::narrow(e4m3(*code) * scale);
        }
    }
}

vectorized! {
    fn scaled_e5m2<T: Element>(codes: &[u8], scale: f32, target: &mut [T]) {
        for (target, code) in target.iter_mut().zip(codes) {
            *target = T::narrow(e5m2(*code) * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// The definition: (−1)^s · 2^(e − bias) · (1 + m / 2^bits), without the one and with e = 1 where e is zero.
    fn defined(code: u8, mantissa_bits: i32, bias: i32) -> f64 {
        let (exponent, mantissa) =
            (i32::from(code & 0x7f) >> mantissa_bits, i32::from(code) & ((1 << mantissa_bits) - 1));
        let fraction = f64::from(mantissa) / f64::from(1 << mantissa_bits) + f64::from(i32::from(exponent > 0));
        let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
        sign * fraction * 2f64.powi(exponent.max(1) - bias)
    }

    #[test]
    fn every_code_is_what_its_format_defines() {
        for code in 0..=255u8 {
            let got = Float8::E4m3.widen(code);
            if code & 0x7f == 0x7f {
                assert!(got.is_nan(), "{code:02x}: {got}");
            } else {
                assert_eq!(f64::from(got), defined(code, 3, 7), "{code:02x}");
            }
            let (got, half) = (Float8::E5m2.widen(code), f16::from_bits(u16::from(code) << 8).to_f32());
            assert!(got == half || (got.is_nan() && half.is_nan()), "{code:02x}: {got} {half}");
            for format in [Float8::E4m3, Float8::E5m2] {
                let mut scaled = [0.0f32; 3];
                format.scaled(&[code; 3], 0.25, &mut scaled);
                let expected = format.widen(code) * 0.25;
                assert!(scaled.iter().all(|x| x.to_bits() == expected.to_bits() || x.is_nan() == expected.is_nan()));
            }
        }
    }
}
