//! Functions of libm whose last digit is glibc's, or the right one, where wasi-libc's is neither.
//!
//! CORE-MATH rounds correctly, and glibc does in all but one of some thousand cases: that gives the functions of
//! trigonometry, `hypot` and `cbrt`. Where glibc itself is off by a digit more often, its formula gives its digits:
//!
//! ```text
//! log10 x = k·log10(2) + log(m)/ln(10)         x = m·2^k, the first product in two parts
//! tanh x  = 1 − 2/(expm1(2x) + 2)              or −t/(t + 2) with t = expm1(−2x) below 1
//! sinh x  = ½(t + t/(t + 1)), t = expm1(x)     or ½(2t − t²/(t + 1)) below 1, ½exp(x) from 22 on
//! cosh x  = ½exp(x) + ½/exp(x)                 or 1 + t²/2(1 + t) below ½ln 2, ½exp(x) from 22 on
//! ```
//!
//! What is not here is wasi-libc's, whose code is glibc's but for the fused products: one result in a thousand differs. Of
//! `erf` and `erfc` some of a hundred do, and of `cbrt` every second: there glibc is off by a digit or more.

#![no_std]

use core::arch::wasm32::{f64x2_extract_lane, f64x2_relaxed_madd, f64x2_splat};
use core::panic::PanicInfo;

#[link(name = "c")]
// SAFETY: functions of numbers alone, as C declares them.
unsafe extern "C" {
    safe fn exp(x: f64) -> f64;
    safe fn expm1(x: f64) -> f64;
    safe fn log(x: f64) -> f64;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// CORE-MATH's `atan2` would print arguments that its proof has forgotten, and end the program. There are none, and
/// there is nowhere to print: its build calls these instead.
#[unsafe(no_mangle)]
extern "C" fn no_exit(_code: i32) -> ! {
    core::arch::wasm32::unreachable()
}

/// See `no_exit`. WebAssembly hands the arguments over in memory.
#[unsafe(no_mangle)]
extern "C" fn no_printf(_format: *const u8, _arguments: *const u8) -> i32 {
    0
}

/// x·y + z, rounded once: the host runs the instruction so on every machine.
#[unsafe(no_mangle)]
#[target_feature(enable = "simd128,relaxed-simd")]
extern "C" fn fma(x: f64, y: f64, z: f64) -> f64 {
    f64x2_extract_lane::<0>(f64x2_relaxed_madd(f64x2_splat(x), f64x2_splat(y), f64x2_splat(z)))
}

/// Exports CORE-MATH's function under the name that libm has for it.
macro_rules! correctly_rounded {
    ($($name:ident = $function:ident($($argument:ident),+)),+ $(,)?) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: f64),+) -> f64 {
            // SAFETY: a function of numbers alone.
            unsafe { core_math_sys::$function($($argument),+) }
        }
    )+};
}

correctly_rounded! {
    sin = cr_sin(x),
    cos = cr_cos(x),
    tan = cr_tan(x),
    asin = cr_asin(x),
    acos = cr_acos(x),
    atan = cr_atan(x),
    atan2 = cr_atan2(y, x),
    hypot = cr_hypot(x, y),
    cbrt = cr_cbrt(x),
}

const EXPONENT_BIAS: i64 = 1023;
/// log10(2) in two parts: the first has so few bits that its product with an exponent is exact.
const LOG10_2_HIGH: f64 = f64::from_bits(0x3FD3_4413_509F_6000);
const LOG10_2_LOW: f64 = f64::from_bits(0x3D59_FEF3_11F1_2B36);
const LOG10_E: f64 = core::f64::consts::LOG10_E;

/// The logarithm to base 10.
#[unsafe(no_mangle)]
extern "C" fn log10(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 || x == f64::INFINITY {
        // The same special values.
        return log(x);
    }
    let scale = if x < f64::MIN_POSITIVE { 54 } else { 0 };
    let bits = if scale > 0 { x * f64::from_bits(((EXPONENT_BIAS + 54) as u64) << 52) } else { x }.to_bits();
    let exponent = (bits >> 52) as i64 - EXPONENT_BIAS - scale;
    // Between 1 and 2, or between ½ and 1 where the exponent is negative.
    let negative = i64::from(exponent < 0);
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | ((EXPONENT_BIAS - negative) as u64) << 52);
    let exponent = (exponent + negative) as f64;
    let low = exponent * LOG10_2_LOW + LOG10_E * log(mantissa);
    low + exponent * LOG10_2_HIGH
}

/// Beyond it e^-x adds nothing to e^x.
const EXPONENTIAL_ALONE: f64 = 22.0;
/// The largest argument of `exp` that is no overflow.
const EXPONENT_MAX: f64 = f64::from_bits(0x4086_2E42_FEFA_39EF);
/// Below it the function is its argument.
const LINEAR: f64 = f64::from_bits((1023 - 28) << 52);

/// e^x/2 for a large x, also where e^x alone would be too large.
fn half_exponential(x: f64) -> f64 {
    if x <= EXPONENT_MAX {
        return 0.5 * exp(x);
    }
    let root = exp(0.5 * x);
    0.5 * root * root
}

/// The hyperbolic sine.
#[unsafe(no_mangle)]
extern "C" fn sinh(x: f64) -> f64 {
    let size = x.abs();
    if !size.is_finite() || size < LINEAR {
        return x;
    }
    let half = 0.5_f64.copysign(x);
    if size >= EXPONENTIAL_ALONE {
        return half_exponential(size).copysign(x);
    }
    let t = expm1(size);
    half * if size < 1.0 { 2.0 * t - t * t / (t + 1.0) } else { t + t / (t + 1.0) }
}

/// The hyperbolic cosine.
#[unsafe(no_mangle)]
extern "C" fn cosh(x: f64) -> f64 {
    let size = x.abs();
    if !size.is_finite() {
        return x * x;
    }
    if size >= EXPONENTIAL_ALONE {
        return half_exponential(size);
    }
    // ½ ln 2, as far as the upper half of its bits tells.
    if size.to_bits() >> 32 < 0x3FD6_2E43 {
        let t = expm1(size);
        let w = 1.0 + t;
        return if size < f64::from_bits((1023 - 55) << 52) { w } else { 1.0 + t * t / (w + w) };
    }
    let t = exp(size);
    0.5 * t + 0.5 / t
}

/// The hyperbolic tangent.
#[unsafe(no_mangle)]
extern "C" fn tanh(x: f64) -> f64 {
    let size = x.abs();
    if size.is_nan() || size == 0.0 {
        return x;
    }
    let value = if size >= EXPONENTIAL_ALONE {
        1.0
    } else if size < f64::from_bits((1023 - 55) << 52) {
        size
    } else if size >= 1.0 {
        1.0 - 2.0 / (expm1(2.0 * size) + 2.0)
    } else {
        let t = expm1(-2.0 * size);
        -t / (t + 2.0)
    };
    value.copysign(x)
}
