//! An expression: numbers, symbols and the operations between them. Here is its exact value, where that is rational and fits;
//! when two expressions are the same is said in `formula`.

use super::ratio::Ratio;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(Ratio),
    /// A letter. `pi` and `e` are the constants, `i` is the imaginary unit.
    Symbol(String),
    Infinity,
    /// An angle in degrees.
    Degrees(Box<Expression>),
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

    pub(super) fn negated(self) -> Self {
        Self::Negate(Box::new(self))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self::Sum(Box::new(self), Box::new(other))
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self::Product(Box::new(self), Box::new(other))
    }

    pub(super) fn over(self, other: Self) -> Self {
        Self::Quotient(Box::new(self), Box::new(other))
    }

    pub(super) fn raised(self, exponent: Self) -> Self {
        Self::Power(Box::new(self), Box::new(exponent))
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
            Self::Symbol(_)
            | Self::Infinity
            | Self::Degrees(_)
            | Self::Root(..)
            | Self::Logarithm { .. }
            | Self::Function(..) => None,
        }
    }

    /// Whether a letter in it may stand for any number.
    pub(super) fn has_variable(&self) -> bool {
        match self {
            Self::Number(_) | Self::Infinity => false,
            Self::Symbol(name) => !matches!(name.as_str(), "pi" | "e" | "i"),
            Self::Degrees(of) | Self::Negate(of) | Self::Absolute(of) | Self::Factorial(of) | Self::Function(_, of) => {
                of.has_variable()
            }
            Self::Sum(left, right)
            | Self::Product(left, right)
            | Self::Quotient(left, right)
            | Self::Power(left, right)
            | Self::Root(left, right)
            | Self::Binomial(left, right)
            | Self::Logarithm { base: left, of: right } => left.has_variable() || right.has_variable(),
        }
    }

    /// Whether it is an angle in degrees: such a one stands in it, and not as the argument of a function.
    pub(super) fn is_angle(&self) -> bool {
        match self {
            Self::Degrees(_) => true,
            Self::Negate(of) | Self::Absolute(of) => of.is_angle(),
            Self::Sum(left, right) | Self::Product(left, right) | Self::Quotient(left, right) => {
                left.is_angle() || right.is_angle()
            }
            Self::Number(_)
            | Self::Symbol(_)
            | Self::Infinity
            | Self::Power(..)
            | Self::Root(..)
            | Self::Factorial(_)
            | Self::Binomial(..)
            | Self::Logarithm { .. }
            | Self::Function(..) => false,
        }
    }
}
