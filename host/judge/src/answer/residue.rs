//! The residue of an expression: its value modulo the prime p = 2^61 - 1, with random residues in the place of letters.
//!
//! Two quotients of polynomials that are the same have the same residues, and two that differ have different ones but with
//! a probability below degree/p (Schwartz and Zippel). So numbers of any size and polynomials are compared without
//! rounding and without multiplying anything out. Roots, functions and the imaginary unit have no residue here; π and e
//! are letters like any other, because no polynomial with rational coefficients is zero at them alone.

use super::expression::Expression;
use super::ratio::Ratio;

/// The prime.
const P: u64 = (1 << 61) - 1;

/// The largest number whose factorial is multiplied out.
const FACTORIAL_MAX: i128 = 200;

/// The residue of an expression at a point; `None` where it has none.
pub(super) fn residue(expression: &Expression, point: u64) -> Option<u64> {
    let value = |of: &Expression| residue(of, point);
    match expression {
        Expression::Number(ratio) => of_ratio(*ratio),
        Expression::Symbol(name) if name == "i" => None,
        Expression::Symbol(name) => Some(number_for(name, point) % P),
        Expression::Negate(of) => Some((P - value(of)?) % P),
        Expression::Sum(left, right) => Some((value(left)? + value(right)?) % P),
        Expression::Product(left, right) => Some(multiply(value(left)?, value(right)?)),
        Expression::Quotient(left, right) => divide(value(left)?, value(right)?),
        Expression::Power(base, exponent) => {
            let exponent = exponent.exact()?.as_integer()?;
            let base = value(base)?;
            let base = if exponent < 0 { divide(1, base)? } else { base };
            // 0^0 has no value that all agree on.
            (base != 0 || exponent != 0).then(|| power(base, exponent.unsigned_abs()))
        }
        Expression::Factorial(of) => factorial(of.exact()?.as_integer()?),
        Expression::Binomial(of, taken) => {
            let (of, taken) = (of.exact()?.as_integer()?, taken.exact()?.as_integer()?);
            divide(factorial(of)?, multiply(factorial(taken)?, factorial(of.checked_sub(taken)?)?))
        }
        Expression::Root(..) | Expression::Absolute(_) => of_ratio(expression.exact()?),
        Expression::Infinity | Expression::Degrees(_) | Expression::Logarithm { .. } | Expression::Function(..) => None,
    }
}

fn of_ratio(ratio: Ratio) -> Option<u64> {
    let (numerator, denominator) = ratio.parts();
    let modulo = |value: i128| u64::try_from(value.rem_euclid(i128::from(P))).ok();
    match denominator {
        1 => modulo(numerator),
        _ => divide(modulo(numerator)?, modulo(denominator)?),
    }
}

fn multiply(left: u64, right: u64) -> u64 {
    (u128::from(left) * u128::from(right) % u128::from(P)) as u64
}

fn divide(left: u64, right: u64) -> Option<u64> {
    // The inverse by Fermat.
    (right != 0).then(|| multiply(left, power(right, u128::from(P) - 2)))
}

fn power(mut base: u64, mut exponent: u128) -> u64 {
    let mut product = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = multiply(product, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    product
}

fn factorial(of: i128) -> Option<u64> {
    let of = u64::try_from(of).ok().filter(|of| i128::from(*of) <= FACTORIAL_MAX)?;
    Some((1..=of).fold(1, multiply))
}

/// The number that stands for a symbol at a point: FNV-1a over both. Its upper bits are the mixed ones.
pub(super) fn number_for(name: &str, point: u64) -> u64 {
    let bytes = name.bytes().chain(point.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
