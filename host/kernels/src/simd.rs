//! Vector arithmetic: loops compiled once per instruction set, with the same result on each.
//!
//! Every multiply-add that may be fused is written as one (`mul_add`), and every reduction has 16 fixed lanes, so that
//! AVX-512, AVX2 and scalar code round alike. Rust never fuses or reorders on its own.

use crate::element::Element;

/// Number of partial sums of a reduction, whatever the width of the registers.
const LANES: usize = 16;

/// Compiles a function once per instruction set and calls the widest one that this processor has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident $(<$($generic:ident: $bound:path),*>)? ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512 $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $result)? {
                body$(::<$($generic),*>)?($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $result)? {
                body$(::<$($generic),*>)?($($argument),*)
            }

            match $crate::processor::instruction_set() {
                // SAFETY: the processor has just been asked for these features.
                #[cfg(target_arch = "x86_64")]
                $crate::processor::InstructionSet::Avx512 => unsafe { avx512$(::<$($generic),*>)?($($argument),*) },
                // SAFETY: the processor has just been asked for these features.
                #[cfg(target_arch = "x86_64")]
                $crate::processor::InstructionSet::Avx2 => unsafe { avx2$(::<$($generic),*>)?($($argument),*) },
                $crate::processor::InstructionSet::Baseline => body$(::<$($generic),*>)?($($argument),*),
            }
        }
    };
}

pub(crate) use vectorized;

/// e^x to about two units in the last place; 0 below -87.3, e^88 above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.0);
    let n = clamped.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    // ln 2 in two parts, so that the remainder is exact.
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_2e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 5.0e-1);
    let p = p.mul_add(r * r, r + 1.0);
    let scale = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < -87.3 { 0.0 } else { p * scale }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ x.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    fold(lanes, |a, b| a + b)
}

/// Σ x y over equally long slices.
#[inline(always)]
pub(crate) fn dot<T: Element>(x: &[T], y: &[T]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((x_chunks, x_rest), (y_chunks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for i in 0..LANES {
            lanes[i] = x[i].widen().mul_add(y[i].widen(), lanes[i]);
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
        *lane = x.widen().mul_add(y.widen(), *lane);
    }
    fold(lanes, |a, b| a + b)
}

/// The greatest element; minus infinity of none.
#[inline(always)]
pub(crate) fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = if *x > *lane { *x } else { *lane };
    }
    fold(lanes, |a, b| if a > b { a } else { b })
}

/// y += a x.
#[inline(always)]
pub(crate) fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = a.mul_add(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_three_units_in_the_last_place() {
        for i in -8_700..=8_800 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(relative < 3.0 * f64::from(f32::EPSILON), "exp({x}) is off by {relative:e}");
        }
        assert_eq!(exp(-1e9), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    type Numbers = (f32, f32, f32, u32);

    #[inline(always)]
    fn numbers(x: &[f32], y: &[f32]) -> Numbers {
        (sum(x), dot(x, y), maximum(x), x.iter().map(|x| exp(*x).to_bits()).fold(0, |a, b| a ^ b))
    }

    vectorized! {
        fn vectorized_numbers(x: &[f32], y: &[f32]) -> Numbers {
            numbers(x, y)
        }
    }

    #[test]
    fn instruction_sets_agree_bit_for_bit() {
        let x: Vec<f32> = (0..1_003).map(|i| ((i * 37) % 101) as f32 * 0.173 - 8.0).collect();
        let y: Vec<f32> = x.iter().map(|x| x * 0.31 + 0.7).collect();
        assert_eq!(vectorized_numbers(&x, &y), numbers(&x, &y));
    }
}
