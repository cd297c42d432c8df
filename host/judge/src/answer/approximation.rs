//! An approximation: the value z of an expression as a complex number in floating point, and a bound of its error |z - exact|,
//! which grows with each operation by the usual first-order rules and the rounding ε = 2^-52.
//!
//! Roots and powers of negative numbers are those that schools teach: the real one where the degree is odd, i√|x| of a
//! number below zero, and none of a letter below zero. What has two readings (a power of a negative number with a fraction
//! as its exponent) has no value, and neither has what is infinite.

use super::expression::Expression;
use super::ratio::Ratio;
use super::residue::number_for;

/// The rounding of one operation, with room for library functions that are a few units off.
const ROUNDING: f64 = 4.0 * f64::EPSILON;
/// The largest whole exponent that is multiplied out.
const EXPONENT_MAX: i128 = 1_000_000;

/// A complex number and how wrong it may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Approximation {
    re: f64,
    im: f64,
    error: f64,
}

impl Approximation {
    /// The value of an expression, with numbers in the place of its letters; `None` where it has none.
    pub(super) fn of(expression: &Expression, point: u64) -> Option<Self> {
        let value = |of: &Expression| Self::of(of, point);
        let found = match expression {
            Expression::Number(ratio) => Self::real(ratio.as_f64()),
            Expression::Symbol(name) => match name.as_str() {
                "pi" => Self::real(std::f64::consts::PI),
                "e" => Self::real(std::f64::consts::E),
                "i" => Self { re: 0.0, im: 1.0, error: 0.0 },
                name => Self::exact(letter(name, point)),
            },
            Expression::Infinity => return None,
            Expression::Degrees(of) => value(of)?.times(Self::real(std::f64::consts::PI / 180.0)),
            Expression::Negate(of) => value(of)?.times(Self::exact(-1.0)),
            Expression::Sum(left, right) => value(left)?.plus(value(right)?),
            Expression::Product(left, right) => value(left)?.times(value(right)?),
            Expression::Quotient(left, right) => value(left)?.times(value(right)?.inverse()?),
            Expression::Power(base, exponent) => {
                match exponent.exact().and_then(Ratio::as_integer).filter(|whole| whole.abs() <= EXPONENT_MAX) {
                    Some(whole) => value(base)?.to_whole(whole)?,
                    None => value(base)?.to(value(exponent)?)?,
                }
            }
            Expression::Root(degree, of) => {
                let degree = degree.exact()?.as_integer().filter(|degree| (2..=EXPONENT_MAX).contains(degree))?;
                value(of)?.root(degree, !of.has_variable())?
            }
            Expression::Absolute(of) => {
                let of = value(of)?;
                Self { re: of.size(), im: 0.0, error: of.error }
            }
            Expression::Factorial(of) => factorial(of.exact()?.as_integer()?)?,
            Expression::Binomial(of, taken) => {
                let (of, taken) = (of.exact()?.as_integer()?, taken.exact()?.as_integer()?);
                let below = factorial(taken)?.times(factorial(of.checked_sub(taken)?)?);
                factorial(of)?.times(below.inverse()?)
            }
            Expression::Logarithm { base, of } => {
                value(of)?.function("ln")?.times(value(base)?.function("ln")?.inverse()?)
            }
            Expression::Function(name, of) => value(of)?.function(name)?,
        };
        found.finite()
    }

    /// Whether two are the same number, as far as can be known; `None` where they are too rough to say so.
    pub(super) fn agrees(self, other: Self) -> Option<bool> {
        let apart = (self.re - other.re).hypot(self.im - other.im);
        let error = self.error + other.error;
        let size = self.size().max(other.size());
        if apart > error {
            return Some(false);
        }
        // Ten digits are known, or both are nothing but zero; and a difference of one would be seen.
        (error <= (1e-10 * size).max(1e-12) && error <= 1e-4).then_some(true)
    }

    fn exact(value: f64) -> Self {
        Self { re: value, im: 0.0, error: 0.0 }
    }

    fn real(value: f64) -> Self {
        Self { re: value, im: 0.0, error: ROUNDING * value.abs() }
    }

    fn finite(self) -> Option<Self> {
        (self.re.is_finite() && self.im.is_finite() && self.error.is_finite()).then_some(self)
    }

    fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// Rounded once more.
    fn rounded(re: f64, im: f64, error: f64) -> Self {
        Self { re, im, error: error + ROUNDING * re.hypot(im) }
    }

    fn plus(self, other: Self) -> Self {
        Self::rounded(self.re + other.re, self.im + other.im, self.error + other.error)
    }

    fn times(self, other: Self) -> Self {
        let (re, im) = (self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re);
        let error = self.size() * other.error + other.size() * self.error + self.error * other.error;
        // The parts may cancel, so it is the product of the sizes that was rounded.
        Self { re, im, error: error + ROUNDING * self.size() * other.size() }
    }

    fn inverse(self) -> Option<Self> {
        let size = self.size();
        // What may be zero has no inverse.
        if size <= self.error {
            return None;
        }
        let error = self.error / (size * (size - self.error));
        Some(Self::rounded(self.re / size / size, -self.im / size / size, error))
    }

    fn to_whole(self, exponent: i128) -> Option<Self> {
        let base = if exponent < 0 { self.inverse()? } else { self };
        if exponent == 0 {
            return (self.size() > self.error).then_some(Self::exact(1.0));
        }
        let (mut product, mut square, mut left) = (Self::exact(1.0), base, exponent.unsigned_abs());
        while left > 0 {
            if left & 1 == 1 {
                product = product.times(square);
            }
            left >>= 1;
            if left > 0 {
                square = square.times(square);
            }
        }
        Some(product)
    }

    fn to(self, exponent: Self) -> Option<Self> {
        let size = self.size();
        let is_negative = self.im == 0.0 && self.re < 0.0;
        if size <= self.error || is_negative {
            return None;
        }
        // z^w = exp(w ln z), the principal value.
        let logarithm = Self::rounded(size.ln(), self.im.atan2(self.re), self.error / (size - self.error));
        exponent.times(logarithm).function("exp")
    }

    fn root(self, degree: i128, is_constant: bool) -> Option<Self> {
        let size = self.size();
        let inverse = 1.0 / degree as f64;
        let root = size.powf(inverse);
        // Near zero the root is less certain than what it is of.
        let error = match size > 2.0 * self.error {
            true => self.error * inverse * root / (size - self.error),
            false => (size + self.error).powf(inverse),
        };
        let error = if self.error == 0.0 { 0.0 } else { error };
        match (self.im == 0.0, self.re >= 0.0) {
            (true, true) => Some(Self::rounded(root, 0.0, error)),
            (true, false) if degree % 2 == 1 => Some(Self::rounded(-root, 0.0, error)),
            (true, false) => (degree == 2 && is_constant).then(|| Self::rounded(0.0, root, error)),
            (false, _) => self.to(Self::real(inverse)),
        }
    }

    /// A function of a real number, with the error that its slope makes; exp is of a complex one, too.
    fn function(self, name: &str) -> Option<Self> {
        let Self { re: x, im, error } = self;
        if name == "exp" {
            let size = x.exp();
            // e^δ - 1 is below 2δ while δ is small, and an error that is not leaves nothing to compare anyway.
            let grown = 2.0 * size * error;
            let rounded = ROUNDING * size * (1.0 + x.abs() + im.abs());
            return Some(Self { re: size * im.cos(), im: size * im.sin(), error: grown + rounded });
        }
        if im != 0.0 {
            return None;
        }
        let (value, slope) = match name {
            "sin" => (x.sin(), 1.0),
            "cos" => (x.cos(), 1.0),
            "tan" => return self.function("sin")?.over(self.function("cos")?),
            "cot" => return self.function("cos")?.over(self.function("sin")?),
            "sec" => return self.function("cos")?.inverse(),
            "csc" => return self.function("sin")?.inverse(),
            "arcsin" | "arccos" => {
                let slope = 1.0 / (1.0 - x * x).max(error).max(f64::EPSILON).sqrt();
                (if name == "arcsin" { x.asin() } else { x.acos() }, slope)
            }
            "arctan" => (x.atan(), 1.0),
            "ln" if x > error => (x.ln(), 1.0 / (x - error)),
            _ => return None,
        };
        let error = slope * error + ROUNDING * value.abs();
        Some(Self { re: value, im: 0.0, error })
    }

    fn over(self, other: Self) -> Option<Self> {
        Some(self.times(other.inverse()?))
    }
}

/// The largest number whose factorial is finite.
const FACTORIAL_MAX: i128 = 170;

fn factorial(of: i128) -> Option<Approximation> {
    let of = u8::try_from(of).ok().filter(|of| i128::from(*of) <= FACTORIAL_MAX)?;
    let product: f64 = (1..=of).map(f64::from).product();
    Some(Approximation { re: product, im: 0.0, error: ROUNDING * product * f64::from(of) })
}

/// The number that stands for a letter at a point: between 0.5 and 2 or, at every other point, below zero. Without
/// negative ones, √x² would be x.
fn letter(name: &str, point: u64) -> f64 {
    let size = 0.5 + 1.5 * ((number_for(name, point) >> 11) as f64 / (1_u64 << 53) as f64);
    if point.is_multiple_of(2) { size } else { -size }
}
