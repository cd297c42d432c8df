//! A ratio: an exact rational number n/d of 128-bit integers, d > 0, in lowest terms. What does not fit is `None`, never
//! rounded.

/// A rational number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    pub(super) const ONE: Self = Self { numerator: 1, denominator: 1 };

    pub(super) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor =
            i128::try_from(greatest_common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs())).ok()?;
        if denominator == 0 {
            return None;
        }
        let sign = if denominator < 0 { -1 } else { 1 };
        Some(Self {
            numerator: (numerator / divisor).checked_mul(sign)?,
            denominator: (denominator / divisor).checked_mul(sign)?,
        })
    }

    pub(super) fn integer(value: i128) -> Self {
        Self { numerator: value, denominator: 1 }
    }

    /// The value of digits with at most one point: `12`, `.5`, `3.`.
    pub(super) fn decimal(digits: &str) -> Option<Self> {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::new(all.parse().ok()?, 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Self::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    pub(super) fn negate(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        Self::new(self.numerator.checked_mul(other.numerator)?, self.denominator.checked_mul(other.denominator)?)
    }

    pub(super) fn divide(self, other: Self) -> Option<Self> {
        self.multiply(Self::new(other.denominator, other.numerator)?)
    }

    /// This to the power of an integer.
    pub(super) fn power(self, exponent: Self) -> Option<Self> {
        let exponent = exponent.as_integer()?;
        let base = if exponent < 0 { Self::ONE.divide(self)? } else { self };
        if exponent == 0 && self.numerator == 0 {
            return None;
        }
        let exponent = u32::try_from(exponent.unsigned_abs()).ok()?;
        // Powers of numbers without a common divisor have none.
        let (numerator, denominator) = (base.numerator.checked_pow(exponent)?, base.denominator.checked_pow(exponent)?);
        Some(Self { numerator, denominator })
    }

    /// The positive square root, where it is rational.
    pub(super) fn square_root(self) -> Option<Self> {
        let root = |value: i128| {
            let near = (value as f64).sqrt() as i128;
            (near - 1..=near + 1).find(|root| *root >= 0 && root.checked_mul(*root) == Some(value))
        };
        Self::new(root(self.numerator)?, root(self.denominator)?)
    }

    /// Numerator and denominator, in lowest terms.
    pub(super) fn parts(self) -> (i128, i128) {
        (self.numerator, self.denominator)
    }

    /// The value of a repeating decimal: `0.1666…` is a whole part `0`, the digits `1` and the period `6`.
    pub(super) fn repeating(whole: &str, digits: &str, period: &str) -> Option<Self> {
        let scale = |count: usize| 10_i128.checked_pow(u32::try_from(count).ok()?);
        let nines = scale(period.len())?.checked_sub(1)?.checked_mul(scale(digits.len())?)?;
        Self::decimal(&format!("{whole}.{digits}"))?.add(Self::new(period.parse().ok()?, nines)?)
    }

    /// The integer that it is, if it is one.
    pub(super) fn as_integer(self) -> Option<i128> {
        (self.denominator == 1).then_some(self.numerator)
    }

    pub(super) fn is_positive(self) -> bool {
        self.numerator > 0
    }

    pub(super) fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

fn greatest_common_divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}
