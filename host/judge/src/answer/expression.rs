//! An expression: numbers, symbols and the operations between them. It has an exact value where that is rational, and a
//! value in floating point where every symbol stands for a number.
//!
//! Two expressions are equal where their exact values are. Where one has none, because it holds a root, π or a symbol, they
//! are equal if they agree within 1e-10 of their size at each of several points: fixed numbers in the place of the symbols.
//! Different expressions of the kind that people write do not.

use super::ratio::Ratio;

/// Points at which expressions are compared.
const POINTS: u64 = 6;
/// At so many of them both must have a value.
const POINTS_MIN: usize = 3;
/// How far apart two values may be, relative to their size.
const TOLERANCE: f64 = 1e-10;
/// Values beyond this are not compared in floating point: a difference of 1 would be lost.
const SIZE_MAX: f64 = 1e9;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(Ratio),
    Symbol(String),
    Infinity,
    Negate(Box<Expression>),
    Sum(Box<Expression>, Box<Expression>),
    Product(Box<Expression>, Box<Expression>),
    Quotient(Box<Expression>, Box<Expression>),
    Power(Box<Expression>, Box<Expression>),
    /// The root of a degree: degree, radicand.
    Root(Box<Expression>, Box<Expression>),
    Absolute(Box<Expression>),
    Factorial(Box<Expression>),
    Binomial(Box<Expression>, Box<Expression>),
    Logarithm {
        base: Box<Expression>,
        of: Box<Expression>,
    },
    Function(String, Box<Expression>),
}

impl Expression {
    pub(super) fn integer(value: i128) -> Self {
        Self::Number(Ratio::integer(value))
    }

    /// Its value, where that is rational and fits.
    pub(super) fn exact(&self) -> Option<Ratio> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Negate(of) => of.exact()?.negate(),
            Self::Sum(left, right) => left.exact()?.add(right.exact()?),
            Self::Product(left, right) => left.exact()?.multiply(right.exact()?),
            Self::Quotient(left, right) => left.exact()?.divide(right.exact()?),
            Self::Power(base, exponent) => base.exact()?.power(exponent.exact()?),
            Self::Root(degree, of) if degree.exact()? == Ratio::integer(2) => of.exact()?.square_root(),
            Self::Absolute(of) => {
                let value = of.exact()?;
                if value.is_positive() { Some(value) } else { value.negate() }
            }
            Self::Factorial(of) => {
                let count = of.exact()?.as_integer().filter(|count| (0..=33).contains(count))?;
                Some(Ratio::integer((1..=count).product()))
            }
            Self::Binomial(of, taken) => {
                let (of, taken) = (of.exact()?.as_integer()?, taken.exact()?.as_integer()?);
                let is_small = (0..=100).contains(&of) && (0..=of).contains(&taken);
                let step = |product: Ratio, i: i128| product.multiply(Ratio::new(of - i, i + 1)?);
                is_small.then(|| (0..taken).try_fold(Ratio::ONE, step)).flatten()
            }
            Self::Symbol(_) | Self::Infinity | Self::Root(..) | Self::Logarithm { .. } | Self::Function(..) => None,
        }
    }

    /// Whether its value would be rational if it fitted.
    fn is_rational(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Negate(of) | Self::Absolute(of) | Self::Factorial(of) => of.is_rational(),
            Self::Sum(left, right) | Self::Product(left, right) | Self::Quotient(left, right) => {
                left.is_rational() && right.is_rational()
            }
            Self::Binomial(of, taken) => of.is_rational() && taken.is_rational(),
            Self::Power(base, exponent) => {
                base.is_rational() && exponent.exact().is_some_and(|exponent| exponent.as_integer().is_some())
            }
            Self::Symbol(_) | Self::Infinity | Self::Root(..) | Self::Logarithm { .. } | Self::Function(..) => false,
        }
    }

    /// Its value with numbers in the place of symbols; not finite where it has none.
    fn at(&self, point: u64) -> f64 {
        let value = |of: &Self| of.at(point);
        match self {
            Self::Number(ratio) => ratio.as_f64(),
            Self::Symbol(name) => match name.as_str() {
                "pi" => std::f64::consts::PI,
                "e" => std::f64::consts::E,
                name => number_for(name, point),
            },
            Self::Infinity => f64::INFINITY,
            Self::Negate(of) => -value(of),
            Self::Sum(left, right) => value(left) + value(right),
            Self::Product(left, right) => value(left) * value(right),
            Self::Quotient(left, right) => value(left) / value(right),
            Self::Power(base, exponent) => value(base).powf(value(exponent)),
            Self::Root(degree, of) => {
                let (degree, of) = (value(degree), value(of));
                // The real root of an odd degree.
                if of < 0.0 && degree % 2.0 == 1.0 { -(-of).powf(1.0 / degree) } else { of.powf(1.0 / degree) }
            }
            Self::Absolute(of) => value(of).abs(),
            Self::Factorial(_) | Self::Binomial(..) => self.exact().map_or(f64::NAN, Ratio::as_f64),
            Self::Logarithm { base, of } => value(of).ln() / value(base).ln(),
            Self::Function(name, of) => {
                let of = value(of);
                match name.as_str() {
                    "sin" => of.sin(),
                    "cos" => of.cos(),
                    "tan" => of.tan(),
                    "cot" => 1.0 / of.tan(),
                    "sec" => 1.0 / of.cos(),
                    "csc" => 1.0 / of.sin(),
                    "arcsin" => of.asin(),
                    "arccos" => of.acos(),
                    "arctan" => of.atan(),
                    "ln" => of.ln(),
                    "exp" => of.exp(),
                    _ => f64::NAN,
                }
            }
        }
    }

    /// Whether both are the same.
    pub(super) fn equals(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        match (self.exact(), other.exact()) {
            (Some(this), Some(that)) => return this == that,
            // A rational number that does not fit is compared as it is written, which was done.
            (None, _) if self.is_rational() => return false,
            (_, None) if other.is_rational() => return false,
            _ => {}
        }
        let mut compared = 0;
        for point in 0..POINTS {
            let (this, that) = (self.at(point), other.at(point));
            match (this.is_finite(), that.is_finite()) {
                (false, false) => continue,
                (true, true) => {}
                _ => return false,
            }
            let size = this.abs().max(that.abs());
            if size > SIZE_MAX || (this - that).abs() > TOLERANCE * size.max(1e-3) {
                return false;
            }
            compared += 1;
        }
        compared >= POINTS_MIN
    }
}

/// The number that stands for a symbol at a point, between 0.5 and 2 or, at every other point, below zero: FNV-1a over
/// both. Without negative ones, √x² would be x.
fn number_for(name: &str, point: u64) -> f64 {
    let bytes = name.bytes().chain(point.to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The upper bits of FNV are the mixed ones.
    let size = 0.5 + 1.5 * ((hash >> 11) as f64 / (1_u64 << 53) as f64);
    if point.is_multiple_of(2) { size } else { -size }
}
